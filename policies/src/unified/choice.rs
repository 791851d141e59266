//! Who may serve a request of `/v1`: the caller's word, else the selection, in order.

use std::sync::Arc;

use crate::descriptor::{Provider, Providers};
use crate::vocabulary::{Refusal, Selection, Task};

/// One provider, model and voice to try.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub provider: Arc<Provider>,
    pub model: String,
    /// Speech only.
    pub voice: Option<String>,
}

/// In the order in which they are tried; never empty.
pub fn candidates(
    _task: Task,
    _model: &str,
    _voice: Option<&str>,
    _selection: Option<&Selection>,
    _providers: &Providers,
) -> Result<Vec<Candidate>, Refusal> {
    todo!()
}
