//! Answer headers that would lead a client past the gateway: rewritten to ours, dropped, or reason to
//! refuse the answer. An SDK that follows one to the provider would carry our token there.

use http::HeaderValue;
use http::header::{ALT_SVC, CONTENT_LOCATION, HeaderName, LINK, LOCATION, REFRESH, SET_COOKIE};
use url::Url;

use crate::descriptor::{Hosts, Origin, Provider};
use crate::places;

/// What becomes of one answer header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerHeader {
    Keep,
    Drop,
    Rewrite(HeaderValue),
    /// The answer sends the client elsewhere and must not reach it.
    Refuse,
}

/// Headers that hold one URL, besides `location`.
const URLS: [HeaderName; 5] = [
    CONTENT_LOCATION,
    HeaderName::from_static("operation-location"),
    HeaderName::from_static("x-goog-upload-url"),
    HeaderName::from_static("x-goog-upload-control-url"),
    HeaderName::from_static("x-goog-upload-status-url"),
];

/// Headers that speak for the provider's host rather than for the answer.
const DROPPED: [HeaderName; 4] = [
    SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    ALT_SVC,
    REFRESH,
];

pub fn leads_away(
    provider: &Provider,
    hosts: &Hosts,
    name: &HeaderName,
    value: &HeaderValue,
) -> AnswerHeader {
    if DROPPED.contains(name) {
        return AnswerHeader::Drop;
    }
    if *name == LINK {
        return if value.as_bytes().windows(2).any(|two| two == b"//") {
            AnswerHeader::Drop
        } else {
            AnswerHeader::Keep
        };
    }
    let is_location = *name == LOCATION;
    if !is_location && !URLS.contains(name) {
        return AnswerHeader::Keep;
    }
    match found_at(hosts, value) {
        Some(Place::Ours(path)) => {
            rewritten(provider, &path).map_or(AnswerHeader::Drop, AnswerHeader::Rewrite)
        }
        Some(Place::Beside) => AnswerHeader::Keep,
        None if is_location => AnswerHeader::Refuse,
        None => AnswerHeader::Drop,
    }
}

enum Place {
    /// On one of the provider's hosts: its path, and the query after it.
    Ours(String),
    /// Relative to the path that was asked for, which is ours already.
    Beside,
}

/// Where the URL leads; nothing when that is none of the provider's hosts. The URL parser resolves what
/// merely looks relative (`//other`, `/\other`).
fn found_at(hosts: &Hosts, value: &HeaderValue) -> Option<Place> {
    let text = value.to_str().ok()?.trim();
    let nowhere = Url::parse("https://provider.invalid/").ok()?;
    let url = nowhere.join(text).ok()?;
    let base = if url.origin() == nowhere.origin() {
        if !text.starts_with('/') {
            return (!text.contains("://")).then_some(Place::Beside);
        }
        ""
    } else {
        hosts
            .0
            .values()
            .find(|origin| is_at(origin, &url))?
            .base_path
            .as_str()
    };
    Some(Place::Ours(
        url[url::Position::BeforePath..url::Position::AfterQuery]
            .strip_prefix(base)?
            .to_owned(),
    ))
}

/// The same place as a path of this gateway. Credentials that a provider wrote into the query stay here.
fn rewritten(provider: &Provider, path: &str) -> Option<HeaderValue> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = places::without_credentials(query);
    let mark = if query.is_empty() { "" } else { "?" };
    HeaderValue::from_str(&format!("/{}{path}{mark}{query}", provider.id)).ok()
}

fn is_at(origin: &Origin, url: &Url) -> bool {
    let scheme = if origin.https { "https" } else { "http" };
    url.scheme() == scheme
        && url.host_str() == Some(origin.host.as_str())
        && url.port_or_known_default() == Some(origin.port)
        && url.username().is_empty()
        && url
            .path()
            .strip_prefix(origin.base_path.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
}
