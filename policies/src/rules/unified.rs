//! What a request head under `/v1` asks for, and how a translated call reads as one of its provider's own.

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};

use super::Inbound;
use crate::descriptor::Provider;
use crate::unified::TranslatedHead;
use crate::vocabulary::{PresentedToken, Refusal, Task, Verdict};

/// A head under `/v1`, before anyone is asked about it.
#[derive(Clone, Debug)]
pub struct UnifiedInbound {
    pub asked: Asked,
    pub presented: Vec<PresentedToken>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Task(Task),
    Models,
    /// Decoded; may hold a slash.
    Model(String),
}

/// `None`: the path is not under `/v1`.
pub fn recognise_unified(
    _method: &Method,
    _uri: &Uri,
    _headers: &HeaderMap,
) -> Option<Result<UnifiedInbound, Refusal>> {
    todo!()
}

/// The call as if a native caller had made it, so that the provider's list of endpoints decides about it too.
pub fn translated(_provider: &Arc<Provider>, _head: &TranslatedHead) -> Result<Inbound, Refusal> {
    todo!()
}

/// Whether another candidate may do better, after an answer with this verdict. The caller's own error meets the
/// caller wherever it goes.
pub fn worth_another(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Valid | Verdict::Caller)
}

/// The provider's own words about what is wrong with a request, for its caller alone: they may quote the request.
pub fn said_by(_provider: &Provider, _body: &[u8]) -> Option<String> {
    todo!()
}
