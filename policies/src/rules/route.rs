//! From what was asked to what may be reached: only endpoints that the descriptor lists, only for callers
//! whose scopes cover what the endpoint does.

use std::sync::Arc;

use http::Method;

use super::Inbound;
use crate::descriptor::{Endpoint, Provider};
use crate::places;
use crate::vocabulary::{Caller, Code, Operation, Refusal, Scope};

/// A listed endpoint and what the path says beside it.
#[derive(Clone, Debug)]
pub struct Route {
    pub provider: Arc<Provider>,
    /// Place in the provider's endpoints.
    pub endpoint: usize,
    pub model_from_path: Option<String>,
}

impl Route {
    pub fn endpoint(&self) -> &Endpoint {
        &self.provider.endpoints[self.endpoint]
    }
}

/// Method and path are the caller's to choose, and what is refused goes on record: this much says enough.
const SHOWN: usize = 120;

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN)]
}

pub fn route(inbound: &Inbound, method: &Method) -> Result<Route, Refusal> {
    let provider = &inbound.provider;
    let refuse =
        |message: String| Refusal::new(Code::ForbiddenEndpoint, message).provider(provider.id.clone());
    let Some(index) = inbound.endpoint else {
        return Err(refuse(format!(
            "{} {} is not offered for {}",
            shown(method.as_str()),
            shown(&inbound.path),
            provider.name
        )));
    };
    let endpoint = &provider.endpoints[index];
    if let Some(name) = refused_parameter(provider, inbound.query.as_deref()) {
        return Err(refuse(format!(
            "the query parameter {name} would lead past this gateway"
        )));
    }
    Ok(Route {
        provider: provider.clone(),
        endpoint: index,
        model_from_path: model_in(endpoint, &inbound.path),
    })
}

fn refused_parameter<'p>(provider: &'p Provider, query: Option<&str>) -> Option<&'p str> {
    let query = query.filter(|_| !provider.refused_query.is_empty())?;
    places::parameters(query).find_map(|(name, _)| {
        let name = places::decoded(name);
        provider
            .refused_query
            .iter()
            .find(|refused| refused.eq_ignore_ascii_case(&name))
            .map(String::as_str)
    })
}

/// What fills the path's `{model}` hole, with whichever inbound prefix it came.
fn model_in(endpoint: &Endpoint, path: &str) -> Option<String> {
    let prefixes = endpoint
        .inbound_prefixes
        .iter()
        .filter_map(|prefix| path.strip_prefix(prefix.as_str()));
    let mut model = None;
    for relative in std::iter::once(path).chain(prefixes) {
        let matches = endpoint.path.matches(relative, |name, value| {
            if name == "model" {
                model = Some(value.to_owned());
            }
        });
        if matches {
            return model;
        }
    }
    None
}

/// Whether the caller's scopes cover this operation. A lookup serves both, so either admits it.
pub fn allow(caller: &Caller, operation: Operation) -> Result<(), Refusal> {
    let allowed = match operation {
        Operation::Tts => caller.may(Scope::Tts),
        Operation::Stt => caller.may(Scope::Stt),
        Operation::Lookup => caller.may(Scope::Tts) || caller.may(Scope::Stt),
    };
    if allowed {
        return Ok(());
    }
    let message = match operation {
        Operation::Tts => "the token's scopes do not include tts",
        Operation::Stt => "the token's scopes do not include stt",
        Operation::Lookup => "the token's scopes include neither tts nor stt",
    };
    Err(Refusal::new(Code::Forbidden, message))
}
