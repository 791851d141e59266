//! Answer headers that would lead a client past the gateway: rewritten to ours, dropped, or reason to
//! refuse the answer. An SDK that follows one to the provider would carry our token there.

use http::HeaderValue;
use http::header::{
    ALT_SVC, CONTENT_LOCATION, HeaderName, LINK, LOCATION, REFRESH, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
};
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

/// Headers that speak for the provider's host rather than for the answer. A browser that takes them for ours
/// would report our addresses, tokens in the query included, to collectors that the provider names.
const DROPPED: [HeaderName; 9] = [
    SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    ALT_SVC,
    REFRESH,
    STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("clear-site-data"),
];

/// Headers that begin so are orders to a proxy that may stand in front of us.
const TO_PROXIES: &str = "x-accel-";

pub fn leads_away(
    provider: &Provider,
    hosts: &Hosts,
    name: &HeaderName,
    value: &HeaderValue,
) -> AnswerHeader {
    if DROPPED.contains(name) || name.as_str().starts_with(TO_PROXIES) {
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
            return is_beside(text).then_some(Place::Beside);
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

/// Whether every reader takes it for relative. `https:other` is a path to one who came by HTTPS and a host to one
/// who did not, and some readers pass over a tab.
fn is_beside(text: &str) -> bool {
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    !first.contains(':') && !text.contains(['\t', '\\'])
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
