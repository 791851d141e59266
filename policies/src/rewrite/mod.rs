//! What goes out: upstream heads, Voxgate's own calls, and error bodies.
mod ask;
mod error_body;
mod head;
mod read;
pub use crate::descriptor::{Model, Voice};
pub use ask::{Question, UpstreamCall, ask};
pub use error_body::error_body;
pub use head::{RewriteError, upstream_head};
pub use read::{Page, Quota, ReadError, read_models, read_quota, read_voices};
