//! What must never arrive at a provider: a token of ours, a second credential, or traces of the gateway.

use std::collections::BTreeMap;

use http::HeaderMap;

/// Every header in which some client carries a credential.
const CREDENTIAL_HEADERS: &[&str] = &[
    "authorization",
    "xi-api-key",
    "ocp-apim-subscription-key",
    "ocp-apim-subscription-region",
    "x-goog-api-key",
    "x-goog-user-project",
    "api-key",
    "x-api-key",
    "cookie",
    "proxy-authorization",
];

const CREDENTIAL_PARAMETERS: &[&str] = &[
    "key",
    "access_token",
    "token",
    "single_use_token",
    "authorization",
    "xi-api-key",
    "ocp-apim-subscription-key",
    "subscription-key",
    "api_key",
];

/// Headers that concern one connection, or tell who stands between.
const HOP_HEADERS: &[&str] = &[
    "keep-alive",
    "proxy-connection",
    "te",
    "upgrade",
    "expect",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Everything wrong with a request head, given the one header in which this provider takes its key.
pub fn complaints(key_header: &str, headers: &HeaderMap, query: &BTreeMap<String, String>) -> Vec<String> {
    let upgrades = wants_socket(headers);
    let mut found = Vec::new();
    if upgrades {
        found.extend(socket_complaints(headers));
    }
    for (name, value) in headers {
        let name = name.as_str();
        let is_key = name == key_header;
        if CREDENTIAL_HEADERS.contains(&name) && !is_key {
            found.push(format!("a credential header arrived: {name}"));
        }
        let hops = HOP_HEADERS.contains(&name) && !(upgrades && name == "upgrade");
        if hops || name.starts_with("x-voxgate") {
            found.push(format!(
                "a header of the gateway's or of its connection arrived: {name}"
            ));
        }
        if name == "connection" && !upgrades && !matches!(value.as_bytes(), b"keep-alive" | b"close") {
            found.push(format!("connection nominates {value:?}"));
        }
        if looks_like_token(&String::from_utf8_lossy(value.as_bytes())) {
            found.push(format!("a token arrived in header {name}"));
        }
    }
    if headers.get_all(key_header).iter().count() > 1 {
        found.push(format!("{key_header} arrived more than once"));
    }
    for (name, value) in query {
        if CREDENTIAL_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
            found.push(format!("a credential parameter arrived: {name}"));
        }
        if looks_like_token(value) {
            found.push(format!("a token arrived in parameter {name}"));
        }
    }
    found
}

/// An access token, or a JWT: `{"` in base64 opens every one.
pub fn looks_like_token(text: &str) -> bool {
    text.contains("vxg_") || text.contains("eyJ")
}

/// Whether a request asks for a WebSocket.
pub fn wants_socket(headers: &HeaderMap) -> bool {
    headers
        .get("upgrade")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// A WebSocket's head is the gateway's own but for the subprotocols; those that are for the gateway end there. Every
/// provider's frames must be read, so compression is not even offered.
fn socket_complaints(headers: &HeaderMap) -> Vec<String> {
    let mut found = Vec::new();
    if !headers
        .get("connection")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"upgrade"))
    {
        found.push(format!("connection says {:?}", headers.get("connection")));
    }
    if headers
        .get("sec-websocket-version")
        .is_none_or(|version| version != "13")
    {
        found.push("the version of WebSocket is not 13".to_owned());
    }
    if let Some(extensions) = headers.get("sec-websocket-extensions") {
        found.push(format!("extensions are offered: {extensions:?}"));
    }
    for protocols in headers.get_all("sec-websocket-protocol") {
        if String::from_utf8_lossy(protocols.as_bytes()).contains("voxgate") {
            found.push(format!("a subprotocol of the gateway's arrived: {protocols:?}"));
        }
    }
    found
}

/// Whether bytes of a frame hold a token. Audio in base64 has every short run of letters somewhere, so nothing less
/// than a whole access token counts, or a JWT's first two parts with the point between.
pub fn holds_token(bytes: &[u8]) -> bool {
    const LENGTH: usize = 36;
    let whole = |at: usize| {
        let rest = &bytes[at + 4..];
        rest.len() >= LENGTH && rest[..LENGTH].iter().all(u8::is_ascii_alphanumeric)
    };
    memchr::memmem::find_iter(bytes, "vxg_").any(whole) || memchr::memmem::find(bytes, b".eyJ").is_some()
}
