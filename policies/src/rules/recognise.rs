//! The request head read once: provider, path, endpoint, query without credentials, and tokens shown.
//!
//! `/{provider}/…` names its provider; a provider's root paths mean it too. What goes upstream keeps the
//! caller's own escapes; what is matched is decoded once, and a path with two readings is refused.

use std::sync::Arc;

use http::header::UPGRADE;
use http::{HeaderMap, Method, Uri};

use super::path;
use super::tokens::presented_tokens;
use crate::descriptor::{Endpoint, EndpointMethod, Provider, Providers, is_one_of};
use crate::places;
use crate::vocabulary::{Code, Dialect, Mode, PresentedToken, Refusal};

/// What a request head says, before anyone is asked about it.
#[derive(Clone, Debug)]
pub struct Inbound {
    pub mode: Mode,
    pub provider: Arc<Provider>,
    pub dialect: Dialect,
    /// Provider-relative and decoded once: what is matched.
    pub path: String,
    /// Provider-relative, as it goes upstream: the caller's escapes kept, inbound prefixes taken off.
    pub raw_path: String,
    /// Without any place of a credential; `None` when nothing is left.
    pub query: Option<String>,
    pub presented: Vec<PresentedToken>,
    pub websocket: bool,
    /// The listed endpoint this head is for.
    pub(super) endpoint: Option<usize>,
}

impl Inbound {
    /// Place of the endpoint in its provider's list.
    pub(crate) fn endpoint(&self) -> Option<usize> {
        self.endpoint
    }

    /// The members of a WebSocket's messages in which a token may be shown.
    pub fn token_fields(&self) -> &[String] {
        let endpoint = self.endpoint.map(|index| &self.provider.endpoints[index]);
        endpoint.map_or(&[], |endpoint| &endpoint.socket.token_fields)
    }

    /// Whether its caller may show a token in the first message of the WebSocket that it asks for.
    pub fn may_show_token_later(&self) -> bool {
        let endpoint = self.endpoint.map(|index| &self.provider.endpoints[index]);
        let later = endpoint.is_some_and(|endpoint| endpoint.socket.token_in_first_message);
        later && self.presented.is_empty()
    }
}

pub fn recognise(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    providers: &Providers,
) -> Result<Inbound, (Dialect, Refusal)> {
    let whole = path::collapse(uri.path());
    let (provider, relative) = find_provider(&whole, providers)?;
    let dialect = provider.dialect;
    let decoded =
        path::decode(relative).map_err(|reason| (dialect, Refusal::new(Code::InvalidRequest, reason)))?;
    let websocket = is_websocket(headers);
    let found = find_endpoint(provider, method, websocket, &decoded, relative);
    let raw_path = match found {
        Some((index, prefix)) => upstream_path(&provider.endpoints[index], prefix, relative),
        None => relative.to_owned(),
    };
    let query = uri
        .query()
        .map(places::without_credentials)
        .filter(|query| !query.is_empty());
    Ok(Inbound {
        mode: Mode::Native,
        dialect,
        raw_path,
        query: query.map(|query| query.into_owned()),
        presented: presented_tokens(uri.query(), headers),
        websocket,
        endpoint: found.map(|(index, _)| index),
        path: decoded.into_owned(),
        provider: provider.clone(),
    })
}

/// The provider a path means, and the path relative to it.
fn find_provider<'p, 'r>(
    path: &'p str,
    providers: &'r Providers,
) -> Result<(&'r Arc<Provider>, &'p str), (Dialect, Refusal)> {
    let (first, end) = match path.strip_prefix('/') {
        Some(rest) => match rest.find('/') {
            Some(at) => (&rest[..at], at + 1),
            None => (rest, path.len()),
        },
        None => ("", path.len()),
    };
    if let Some(provider) = providers.get(first) {
        let relative = &path[end..];
        return Ok((provider, if relative.is_empty() { "/" } else { relative }));
    }
    let means = |provider: &&Arc<Provider>| {
        provider
            .root_paths
            .iter()
            .any(|root| path.starts_with(root.as_str()))
    };
    match providers.iter().find(means) {
        Some(provider) => Ok((provider, path)),
        None => Err((Dialect::Plain, unknown_provider(providers))),
    }
}

fn unknown_provider(providers: &Providers) -> Refusal {
    let known: Vec<_> = providers.iter().map(|provider| provider.id.as_str()).collect();
    Refusal::new(
        Code::UnknownProvider,
        format!(
            "a path begins with the id of a provider; known are {}",
            known.join(", ")
        ),
    )
}

/// The first listed endpoint of this method and path, and the inbound prefix that was in front of it.
pub(super) fn find_endpoint<'e>(
    provider: &'e Provider,
    method: &Method,
    websocket: bool,
    path: &str,
    raw: &str,
) -> Option<(usize, &'e str)> {
    provider
        .endpoints
        .iter()
        .enumerate()
        .find_map(|(index, endpoint)| {
            let fits = match &endpoint.method {
                EndpointMethod::WebSocket => websocket,
                EndpointMethod::Http(listed) => !websocket && listed == method,
            };
            let prefix = fits
                .then(|| matching_prefix(provider, endpoint, path, raw))
                .flatten()?;
            Some((index, prefix))
        })
}

/// The prefix before the endpoint's own path, empty for none; nothing when the path is another one.
/// A prefix written with escapes is not one: it could not be taken off the raw path.
fn matching_prefix<'e>(
    provider: &Provider,
    endpoint: &'e Endpoint,
    path: &str,
    raw: &str,
) -> Option<&'e str> {
    let prefixes = std::iter::once("").chain(endpoint.inbound_prefixes.iter().map(String::as_str));
    for prefix in prefixes {
        let Some(rest) = path.strip_prefix(prefix).filter(|_| raw.starts_with(prefix)) else {
            continue;
        };
        let mut model_allowed = true;
        let matches = endpoint.path.matches(rest, |name, value| {
            if name == "model"
                && let Some(names) = provider.model_names(endpoint.operation)
            {
                model_allowed = is_one_of(names, value);
            }
        });
        if matches && model_allowed {
            return Some(prefix);
        }
    }
    None
}

pub(super) fn upstream_path(endpoint: &Endpoint, prefix: &str, raw: &str) -> String {
    let bare = raw.strip_prefix(prefix).unwrap_or(raw);
    [endpoint.upstream_prefix.as_str(), bare].concat()
}

/// HTTP/1.1 asks by `Upgrade`; other spellings are ordinary requests.
fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get_all(UPGRADE).iter().any(|value| {
        let mut tokens = value.to_str().unwrap_or_default().split(',');
        tokens.any(|token| token.trim().eq_ignore_ascii_case("websocket"))
    })
}
