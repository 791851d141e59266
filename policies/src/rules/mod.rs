//! What a request is, where it may go, and what an answer means: decisions without side effects.
//!
//! [`recognise`] and [`route`] read a request head, [`allow`] its caller's scopes; [`judge`] and its
//! companions read a provider's answer; [`estimate`] prices what a call consumed.

mod answer_headers;
mod cost;
mod offers;
mod path;
mod payers;
mod recognise;
mod retry;
mod route;
mod tokens;
mod unified;
mod verdict;

pub use answer_headers::{AnswerHeader, leads_away};
pub use cost::estimate;
pub use offers::{offers_model, offers_voice};
pub use payers::payers;
pub use recognise::{Inbound, recognise};
pub(crate) use retry::duration;
pub use retry::retry_after;
pub use route::{Route, allow, route};
pub use tokens::presented_tokens;
pub(crate) use tokens::without_scheme;
pub use unified::{Asked, UnifiedInbound, recognise_unified, said_by, translated, worth_another};
pub(crate) use verdict::judge_message;
pub use verdict::{Judged, code_of, explain, judge, judge_close, stops_everything};
