//! The calls that Voxgate makes itself: is the key real, which models, which voices, how much is left.
//!
//! The key is placed by the same code as in live traffic, so a key that validates works.

use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::utf8_percent_encode;

use super::RewriteError;
use super::head::{path_and_query, place_key};
use crate::descriptor::{Call, Hosts, Provider};
use crate::places;

/// A call to a provider, complete but for the sending. The key stands in `headers` (marked sensitive), or
/// in `url` where the provider takes it there.
#[derive(Clone, Debug)]
pub struct UpstreamCall {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
}

#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// Place in the provider's probes.
    Probe(usize),
    Models {
        page: Option<&'a str>,
    },
    Voices {
        q: Option<&'a str>,
        language: Option<&'a str>,
        page: Option<&'a str>,
    },
    Quota,
}

/// The call that answers a question; `None`: this provider has no such call.
pub fn ask(
    provider: &Provider,
    hosts: &Hosts,
    question: Question<'_>,
    key: &str,
) -> Result<Option<UpstreamCall>, RewriteError> {
    let voices = &provider.voices;
    let (call, extra) = match question {
        Question::Probe(nth) => (provider.probes.get(nth), vec![]),
        Question::Models { page } => (
            provider.models.call.as_ref(),
            vec![(&provider.models.page_query, page)],
        ),
        Question::Voices { q, language, page } => (
            voices.call.as_ref(),
            vec![
                (&voices.search_query, q),
                (&voices.language_query, language),
                (&voices.page_query, page),
            ],
        ),
        Question::Quota => (provider.quota.as_ref().map(|quota| &quota.call), vec![]),
    };
    let extra = extra
        .into_iter()
        .filter_map(|(name, value)| Some((name.as_deref()?, value?)));
    call.map(|call| made(provider, hosts, call, extra, key))
        .transpose()
}

fn made<'a>(
    provider: &Provider,
    hosts: &Hosts,
    call: &'a Call,
    extra: impl Iterator<Item = (&'a str, &'a str)>,
    key: &str,
) -> Result<UpstreamCall, RewriteError> {
    let origin = hosts
        .get(&call.host)
        .ok_or_else(|| RewriteError::UnknownHost(call.host.clone()))?;
    let own = call
        .query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let query = own
        .chain(extra)
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, places::ESCAPED)));
    let query = query.collect::<Vec<_>>().join("&");
    let path = path_and_query(&provider.key, origin, &call.path, Some(&query), key);
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    // Some providers refuse a call that names no agent.
    headers.insert(USER_AGENT, HeaderValue::from_static("voxgate"));
    place_key(&provider.key, key, &mut headers)?;
    let scheme = if origin.https { "https" } else { "http" };
    let url = format!("{scheme}://{}{path}", origin.authority());
    Ok(UpstreamCall {
        method: call.method.clone(),
        url,
        headers,
    })
}
