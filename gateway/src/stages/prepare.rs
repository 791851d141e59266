//! `Grant` → the upstream request head. The one place on the data path that borrows a key's plaintext.
//!
//! It follows from its arguments alone, so that a second attempt sends the same bytes.

use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::RequestHeader;
use policies::rewrite;

use super::Fault;
use super::authorise::Grant;

/// How the request body is delimited towards the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    /// The headers say how long it is.
    Known,
    /// It ends when it ends.
    Open,
}

impl Body {
    pub fn of(head: &RequestHeader, empty: bool) -> Self {
        if empty {
            Body::None
        } else if head.headers.contains_key(CONTENT_LENGTH) {
            Body::Known
        } else {
            Body::Open
        }
    }
}

/// The head in HTTP/1.1 form; an HTTP/2 connection drops the framing header.
pub fn prepare(
    grant: &Grant,
    method: &Method,
    headers: &HeaderMap,
    body: Body,
) -> Result<Box<RequestHeader>, Fault> {
    let inbound = grant.inbound();
    let parts = rewrite::upstream_head(
        grant.provider(),
        grant.origin(),
        method,
        &inbound.raw_path,
        inbound.query.as_deref(),
        headers,
        grant.credential().secret.expose(),
    )
    .map_err(|error| Fault::Internal(format!("preparing the upstream request: {error}")))?;
    let mut upstream = Box::new(RequestHeader::from(parts));
    let framing = match body {
        Body::Known => Ok(()),
        Body::Open => upstream.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        // Some servers answer 411 to a POST that does not say that it is empty.
        Body::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            upstream.insert_header(CONTENT_LENGTH, HeaderValue::from_static("0"))
        }
        Body::None => Ok(()),
    };
    framing.map_err(|error| Fault::Internal(error.to_string()))?;
    if inbound.websocket {
        asks_for_socket(&mut upstream, grant)?;
    }
    Ok(upstream)
}

/// What one hop says to the next, and the two had taken off. Where messages are read they must not be compressed.
fn asks_for_socket(upstream: &mut RequestHeader, grant: &Grant) -> Result<(), Fault> {
    if grant.route().endpoint().socket.forbids_compression() {
        upstream.remove_header(&SEC_WEBSOCKET_EXTENSIONS);
    }
    let named = upstream
        .insert_header(CONNECTION, HeaderValue::from_static("Upgrade"))
        .and_then(|()| upstream.insert_header(UPGRADE, HeaderValue::from_static("websocket")));
    named.map_err(|error| Fault::Internal(error.to_string()))
}
