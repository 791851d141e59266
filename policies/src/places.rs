//! Every place where a token or key can travel: read from one list, stripped by another.
//!
//! A token is taken from the places an SDK may use ([`HEADERS`], [`QUERY`], a subprotocol entry). What is
//! stripped is more: any place where some provider would accept a credential, so that no caller can put
//! its own beside the one this gateway injects, and no token of ours reaches a provider.

use std::borrow::Cow;

use http::header::HeaderName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str};

/// Headers that may hold a token besides `authorization`, in the order in which they count.
pub(crate) const HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("xi-api-key"),
    HeaderName::from_static("ocp-apim-subscription-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
];

/// Query names that may hold a token, in the order in which they count.
pub(crate) const QUERY: [&str; 6] = [
    "key",
    "token",
    "access_token",
    "authorization",
    "single_use_token",
    "ocp-apim-subscription-key",
];

/// Further query names under which providers take credentials.
const OTHER_QUERY: [&str; 5] = [
    "xi-api-key",
    "xi_api_key",
    "subscription-key",
    "api_key",
    "oauth_token",
];

/// What is escaped in a query value or a path segment of ours: all but what means nothing in a URL.
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The subprotocol that a caller offers beside the entry that carries its token, and what that entry begins with.
pub const SUBPROTOCOL: &str = "voxgate";

/// What tokens begin with: ours, and JWTs.
pub(crate) const TOKENS: [&str; 2] = ["vxg_", "eyJ"];

/// Whether something is a token wherever it stands: one of ours, or a JWT.
pub(crate) fn looks_like_token(text: &str) -> bool {
    TOKENS.iter().any(|begins| text.starts_with(begins))
}

/// Headers that hold a credential, name whose account pays, or turn a listed call into another one.
pub(crate) fn is_stripped_header(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "proxy-authorization"
            | "cookie"
            | "xi-api-key"
            | "ocp-apim-subscription-key"
            | "ocp-apim-subscription-region"
            | "x-goog-api-key"
            | "x-goog-user-project"
            | "api-key"
            | "x-api-key"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override"
            | "x-original-url"
            | "x-rewrite-url"
    )
}

/// Where this query name stands among the places of a token.
pub(crate) fn token_rank(name: &str) -> Option<usize> {
    let name = decoded(name);
    QUERY.iter().position(|place| place.eq_ignore_ascii_case(&name))
}

pub(crate) fn is_stripped_query(name: &str) -> bool {
    let name = decoded(name);
    QUERY
        .iter()
        .chain(&OTHER_QUERY)
        .any(|place| place.eq_ignore_ascii_case(&name))
}

/// Percent-decoded; bytes that are not UTF-8 become replacement characters, which equal no name.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if text.as_bytes().contains(&b'%') {
        percent_decode_str(text).decode_utf8_lossy()
    } else {
        Cow::Borrowed(text)
    }
}

/// Name and value of each parameter, as written. `;` divides too: some servers read it so.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split(['&', ';'])
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// The query without every place of a credential, all other bytes and their order kept.
pub(crate) fn without_credentials(query: &str) -> Cow<'_, str> {
    if !parameters(query).any(|(name, _)| is_stripped_query(name)) {
        return Cow::Borrowed(query);
    }
    let mut kept = String::with_capacity(query.len());
    for part in query.split_inclusive(['&', ';']) {
        let name = part
            .trim_end_matches(['&', ';'])
            .split('=')
            .next()
            .unwrap_or_default();
        if !is_stripped_query(name) {
            kept.push_str(part);
        }
    }
    if !query.ends_with(['&', ';']) && kept.ends_with(['&', ';']) {
        kept.pop();
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_query_and_nothing_else_moves() {
        for (query, left) in [
            ("a=1&b=%20&c", "a=1&b=%20&c"),
            ("key=x", ""),
            ("key=x&a=1", "a=1"),
            ("a=1&key=x", "a=1"),
            ("a=1&K%65y=x&b=2", "a=1&b=2"),
            ("a=1;key=x;b=2", "a=1;b=2"),
            (
                "Authorization=Bearer%20x&Ocp-Apim-Subscription-Key=y&X-ConnectionId=1",
                "X-ConnectionId=1",
            ),
            ("a=key&b=token", "a=key&b=token"),
            ("keys=1&mykey=2", "keys=1&mykey=2"),
            ("a=1&&b=2", "a=1&&b=2"),
            (
                "api_key=1&subscription-key=2&xi-api-key=3&single_use_token=4&access_token=5&token=6",
                "",
            ),
        ] {
            assert_eq!(without_credentials(query), left, "{query}");
        }
    }
}
