//! Which web pages may call: preflights answered, answers made readable, for the configured origins only.
//!
//! A preflight carries no token and is answered without one. Credentials in the sense of CORS (cookies) are
//! never allowed; tokens travel in headers that the page sets.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::RequestHeader;
use policies::descriptor::Origin;

use crate::StartError;
use crate::respond::Reply;

#[derive(Debug)]
pub enum Cors {
    Listed(Vec<HeaderValue>),
    Any,
}

/// What makes an answer readable for one page's origin.
#[derive(Clone, Debug)]
pub struct Admitted(HeaderValue);

impl Cors {
    pub fn parse(origins: &[String]) -> Result<Self, StartError> {
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Cors::Any);
        }
        let parse = |origin: &String| {
            let refused = || StartError::CorsOrigin(origin.clone());
            let parsed: Origin = origin.parse().map_err(|_| refused())?;
            if !parsed.base_path.is_empty() {
                return Err(refused());
            }
            HeaderValue::from_str(&parsed.to_string()).map_err(|_| refused())
        };
        origins
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Cors::Listed)
    }

    pub fn admit(&self, head: &RequestHeader) -> Option<Admitted> {
        let origin = head.headers.get(ORIGIN)?;
        match self {
            Cors::Any => Some(Admitted(HeaderValue::from_static("*"))),
            Cors::Listed(listed) => listed.contains(origin).then(|| Admitted(origin.clone())),
        }
    }
}

impl Admitted {
    pub fn put(&self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

pub fn is_preflight(head: &RequestHeader) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of an admitted origin: what it asks for is allowed, since the endpoint list
/// and the token decide later.
pub fn preflight(head: &RequestHeader) -> Reply {
    let mut reply = Reply::new(204, "", "");
    // A 204 has no length.
    reply.headers.remove(http::header::CONTENT_LENGTH);
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
    reply.headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(asked) = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        reply.headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    let max_age = HeaderValue::from_static("600");
    reply.headers.insert(ACCESS_CONTROL_MAX_AGE, max_age);
    reply
}
