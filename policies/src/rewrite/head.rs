//! The upstream head: what the caller wrote, minus every credential and everything of this hop, plus the
//! provider's key in its one place.
//!
//! It depends on its arguments only, so a head may be made twice and is the same both times.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::hop::{Nominated, is_of_one_hop};
use super::marks::is_mark;
use crate::descriptor::{FillError, KeyPlace, KeyPlacement, Origin, Provider};
use crate::places::{self, SUBPROTOCOL};

/// Nothing here repeats the key.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error("putting the key into a header: it holds characters that no header may hold")]
    Key,
    #[error("making the upstream path: what came is not a path")]
    Path,
    #[error("naming the upstream host: {0} is not a host")]
    Host(String),
    #[error("asking the provider: its descriptor names no host {0}")]
    UnknownHost(String),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error("making the upstream call: its {0} holds what no {0} may hold")]
    Head(&'static str),
}

/// The whole upstream head. Framing (`transfer-encoding`) is the relay's; `content-length` is kept.
pub fn upstream_head(
    provider: &Provider,
    origin: &Origin,
    method: &Method,
    raw_path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    key: &str,
) -> Result<http::request::Parts, RewriteError> {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = method.clone();
    parts.uri = upstream_uri(&provider.key, origin, raw_path, query, key)?;
    parts.headers = HeaderMap::with_capacity(headers.len() + provider.key.fixed_headers.len() + 3);
    let authority = Bytes::from(origin.authority());
    let host =
        HeaderValue::from_maybe_shared(authority).map_err(|_| RewriteError::Host(origin.host.clone()))?;
    parts.headers.insert(HOST, host);
    copy_headers(headers, &mut parts.headers);
    // A compressed answer could be neither judged nor metered, and audio does not compress.
    parts
        .headers
        .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    place_key(&provider.key, key, &mut parts.headers)?;
    Ok(parts)
}

/// Puts the key and what always goes with it into the headers, over anything that stands there.
pub(super) fn place_key(
    placement: &KeyPlacement,
    key: &str,
    headers: &mut HeaderMap,
) -> Result<(), RewriteError> {
    for (name, value) in &placement.fixed_headers {
        headers.insert(name, value.clone());
    }
    if let KeyPlace::Header(name) = &placement.place {
        let text = Bytes::from([placement.before.as_str(), key, placement.after.as_str()].concat());
        let mut value = HeaderValue::from_maybe_shared(text).map_err(|_| RewriteError::Key)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

/// The base path once, even when the path repeats it; the query without credentials, and with the key
/// where the provider wants it there.
pub(super) fn path_and_query(
    placement: &KeyPlacement,
    origin: &Origin,
    path: &str,
    query: Option<&str>,
    key: &str,
) -> String {
    let base = origin.base_path.as_str();
    let repeated = !base.is_empty() && path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    let query = query.map_or(Cow::Borrowed(""), places::without_credentials);
    let mut text = String::with_capacity(base.len() + path.len() + query.len() + 1);
    if !repeated {
        text.push_str(base);
    }
    text.push_str(path);
    if !query.is_empty() {
        text.push('?');
        text.push_str(&query);
    }
    if let KeyPlace::Query(name) = &placement.place {
        text.push(if query.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        let value = [placement.before.as_str(), key, placement.after.as_str()].concat();
        text.extend(utf8_percent_encode(&value, NON_ALPHANUMERIC));
    }
    text
}

fn upstream_uri(
    placement: &KeyPlacement,
    origin: &Origin,
    raw_path: &str,
    query: Option<&str>,
    key: &str,
) -> Result<Uri, RewriteError> {
    if !raw_path.starts_with('/') {
        return Err(RewriteError::Path);
    }
    let text = path_and_query(placement, origin, raw_path, query, key);
    let path = PathAndQuery::from_maybe_shared(Bytes::from(text)).map_err(|_| RewriteError::Path)?;
    Ok(Uri::from(path))
}

fn copy_headers(from: &HeaderMap, to: &mut HeaderMap) {
    let nominated = Nominated::by(from);
    for (name, value) in from {
        let stays = is_of_one_hop(name)
            || is_ours_to_say(name)
            || places::is_stripped_header(name)
            || is_about_the_way(name)
            || nominated.contains(name);
        if stays {
            continue;
        }
        if *name == SEC_WEBSOCKET_PROTOCOL {
            if let Some(value) = without_our_subprotocols(value) {
                to.append(name, value);
            }
            continue;
        }
        if *name == CONTENT_LENGTH {
            to.insert(name, one_length(value));
            continue;
        }
        to.append(name, value.clone());
    }
}

/// A length that was said several times, which is allowed where all are the same, said once: two readers of a list
/// may disagree about where the body ends.
fn one_length(value: &HeaderValue) -> HeaderValue {
    let first = value.to_str().ok().and_then(|text| text.split_once(','));
    first
        .and_then(|(length, _)| HeaderValue::from_str(length.trim()).ok())
        .unwrap_or_else(|| value.clone())
}

/// What the relay and the upstream connection set themselves.
fn is_ours_to_say(name: &HeaderName) -> bool {
    matches!(name.as_str(), "host" | "expect" | "http2-settings")
}

/// What tells a provider who the caller is or which way the call took, and what only Voxgate may say.
fn is_about_the_way(name: &HeaderName) -> bool {
    matches!(name.as_str(), "forwarded" | "via" | "x-real-ip")
        || name.as_str().starts_with("x-forwarded-")
        || is_mark(name)
}

/// The subprotocols that are the provider's business; nothing when none is left.
fn without_our_subprotocols(value: &HeaderValue) -> Option<HeaderValue> {
    let entries = value.to_str().ok()?.split(',').map(str::trim);
    let is_ours = |entry: &str| {
        let rest = entry.strip_prefix(SUBPROTOCOL);
        let named = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        named || places::looks_like_token(entry)
    };
    let kept: Vec<_> = entries
        .filter(|entry| !entry.is_empty() && !is_ours(entry))
        .collect();
    if kept.is_empty() {
        None
    } else {
        HeaderValue::from_str(&kept.join(", ")).ok()
    }
}
