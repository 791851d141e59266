//! What goes out: upstream heads, Voxgate's own calls, and error bodies; and what of an answer comes in.

mod ask;
mod error_body;
mod head;
mod hop;
pub mod marks;
mod read;

pub use crate::places::SUBPROTOCOL;
pub use ask::{Question, UpstreamCall, ask};
pub use error_body::error_body;
pub use head::{RewriteError, upstream_head};
pub use hop::{Nominated, is_of_one_hop};
pub use read::{Page, Quota, ReadError, read_models, read_quota, read_voices};
