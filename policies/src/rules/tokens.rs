//! Every token that a request head shows, in the order in which their places count.
//!
//! An SDK puts what it takes for a provider's key where that provider wants it; some put it in two
//! places, some send an empty `Bearer` beside it. All that is there is returned; an empty one is as absent.

use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

use crate::places::{self, HEADERS, SUBPROTOCOL};
use crate::vocabulary::PresentedToken;

pub fn presented_tokens(query: Option<&str>, headers: &HeaderMap) -> Vec<PresentedToken> {
    let mut tokens = Vec::new();
    let mut push = |token: &str| {
        if !token.is_empty() {
            tokens.push(PresentedToken::new(token));
        }
    };
    for value in headers.get_all(AUTHORIZATION) {
        push(value.to_str().map_or("", without_scheme));
    }
    for name in &HEADERS {
        for value in headers.get_all(name) {
            push(value.to_str().map_or("", str::trim));
        }
    }
    if let Some(query) = query {
        in_query(query, &mut push);
    }
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for entry in value.to_str().unwrap_or_default().split(',') {
            push(subprotocol_token(entry.trim()).unwrap_or_default());
        }
    }
    tokens
}

/// Tokens of the query, by the rank of their names.
fn in_query(query: &str, push: &mut impl FnMut(&str)) {
    let mut found: Vec<_> = places::parameters(query)
        .filter_map(|(name, value)| Some((places::token_rank(name)?, places::decoded(value))))
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    for (_, value) in &found {
        push(without_scheme(value));
    }
}

/// What follows `Bearer` or `Token`, or the whole when there is no scheme. Other schemes hold no token of
/// ours. `+` is how forms spell the blank.
pub(crate) fn without_scheme(value: &str) -> &str {
    let value = value.trim();
    let (scheme, rest) = value.split_once([' ', '+']).unwrap_or((value, ""));
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("bearer") || is("token") {
        rest.trim()
    } else if is("basic") || rest.contains(' ') || value.contains(' ') {
        ""
    } else {
        value
    }
}

pub(crate) fn subprotocol_token(entry: &str) -> Option<&str> {
    entry.strip_prefix(SUBPROTOCOL)?.strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn shown(query: Option<&str>, headers: &[(&str, &str)]) -> Vec<String> {
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        presented_tokens(query, &headers.collect())
            .iter()
            .map(|token| token.expose().to_owned())
            .collect()
    }

    #[test]
    fn every_place_is_read() {
        for (name, value) in [
            ("authorization", "Bearer T"),
            ("authorization", "bearer  T"),
            ("authorization", "Token T"),
            ("authorization", "T"),
            ("xi-api-key", "T"),
            ("ocp-apim-subscription-key", " T "),
            ("x-goog-api-key", "T"),
            ("api-key", "T"),
            ("x-api-key", "T"),
            ("sec-websocket-protocol", "USP, voxgate, voxgate.T"),
        ] {
            assert_eq!(shown(None, &[(name, value)]), ["T"], "{name}: {value}");
        }
        for query in [
            "key=T",
            "a=1&token=T",
            "access_token=T",
            "Authorization=Bearer%20T",
            "authorization=Bearer+T",
            "authorization=T",
            "single_use_token=T",
            "Ocp-Apim-Subscription-Key=T",
            "K%45y=%54",
        ] {
            assert_eq!(shown(Some(query), &[]), ["T"], "{query}");
        }
    }

    #[test]
    fn an_empty_one_is_as_absent() {
        for (name, value) in [
            ("authorization", "Bearer "),
            ("authorization", "Bearer"),
            ("authorization", ""),
            ("authorization", "Basic"),
            ("authorization", "Basic dTpw"),
            ("authorization", "Digest username=a, b"),
            ("xi-api-key", " "),
            ("sec-websocket-protocol", "voxgate, voxgate."),
        ] {
            assert!(
                shown(Some("key=&token"), &[(name, value)]).is_empty(),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn places_count_in_order() {
        let headers = [
            ("x-api-key", "D"),
            ("xi-api-key", "C"),
            ("authorization", "Bearer A"),
            ("authorization", "B"),
        ];
        assert_eq!(
            shown(Some("token=F&key=E"), &headers),
            ["A", "B", "C", "D", "E", "F"]
        );
    }
}
