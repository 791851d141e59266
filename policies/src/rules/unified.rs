//! What a request head under `/v1` asks for, and how a translated call reads as one of its provider's own.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use super::verdict::Body;
use super::{Inbound, path, recognise, tokens};
use crate::descriptor::Provider;
use crate::unified::TranslatedHead;
use crate::vocabulary::{Code, Dialect, Mode, PresentedToken, Refusal, Task, Verdict};

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
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Option<Result<UnifiedInbound, Refusal>> {
    let whole = path::collapse(uri.path());
    let rest = whole
        .strip_prefix("/v1")
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let asked = asked(method, rest).ok_or_else(|| {
        let message =
            "/v1 offers POST audio/speech, audio/transcriptions and audio/translations, and GET models";
        Refusal::new(Code::NotFound, message)
    });
    Some(asked.map(|asked| UnifiedInbound {
        asked,
        presented: tokens::presented_tokens(uri.query(), headers),
    }))
}

fn asked(method: &Method, path: &str) -> Option<Asked> {
    match (method, path.trim_end_matches('/')) {
        (&Method::POST, "/audio/speech") => Some(Asked::Task(Task::Speech)),
        (&Method::POST, "/audio/transcriptions") => Some(Asked::Task(Task::Transcription)),
        (&Method::POST, "/audio/translations") => Some(Asked::Task(Task::Translation)),
        (&Method::GET | &Method::HEAD, "/models") => Some(Asked::Models),
        (&Method::GET | &Method::HEAD, path) => {
            let id = path.strip_prefix("/models/")?;
            let id = percent_decode_str(id).decode_utf8().ok()?;
            Some(Asked::Model(id.into_owned()))
        }
        _ => None,
    }
}

/// The call as if a native caller had made it, so that the provider's list of endpoints decides about it too.
pub fn translated(provider: &Arc<Provider>, head: &TranslatedHead) -> Result<Inbound, Refusal> {
    let decoded = path::decode(&head.path)
        .map_err(|reason| Refusal::new(Code::InvalidRequest, reason).provider(provider.id.clone()))?
        .into_owned();
    let websocket = false;
    let found = recognise::find_endpoint(provider, &head.method, websocket, &decoded, &head.path);
    Ok(Inbound {
        mode: Mode::Unified,
        provider: provider.clone(),
        dialect: Dialect::OpenAi,
        raw_path: match found {
            Some((index, prefix)) => recognise::upstream_path(&provider.endpoints[index], prefix, &head.path),
            None => head.path.clone(),
        },
        path: decoded,
        query: head.query.clone(),
        presented: Vec::new(),
        websocket,
        endpoint: found.map(|(index, _)| index),
    })
}

/// Whether another candidate may do better, after an answer with this verdict. The caller's own error meets the
/// caller wherever it goes.
pub fn worth_another(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Valid | Verdict::Caller)
}

/// Longer explanations are cut.
const SAID: usize = 300;

/// The provider's own words about what is wrong with a request, for its caller alone: they may quote the request.
pub fn said_by(provider: &Provider, body: &[u8]) -> Option<String> {
    let body = Body::new(body);
    let root = body.json()?;
    let said = provider.messages.iter().find_map(|at| at.text(root))?;
    let said: Cow<'_, str> = said.replace(char::is_control, " ").into();
    let said = said.trim();
    (!said.is_empty()).then(|| said[..said.floor_char_boundary(SAID)].to_owned())
}
