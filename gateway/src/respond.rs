//! What Voxgate itself says: a refusal → status, headers and body in the dialect of the path, and the
//! headers that go on every answer.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::BError;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use policies::rewrite::error_body;
use policies::rewrite::marks::{ATTEMPTS, CREDENTIAL, ERROR, MODEL, PROVIDER, REQUEST_ID, SETUP_URL};
use policies::vocabulary::{Code, CredentialSource, Dialect, Operation, ProviderId, Refusal, RequestId};

use crate::cors::Admitted;

/// The headers of ours on the answer to one request.
pub struct Marks {
    request_id: HeaderValue,
    provider: Option<HeaderValue>,
    model: Option<HeaderValue>,
    credential: Option<CredentialSource>,
    /// How many candidates were called.
    pub attempts: u16,
    cors: Option<Admitted>,
}

impl Marks {
    pub fn new(request: RequestId, cors: Option<Admitted>) -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = request.hyphenated().encode_lower(&mut text);
        let request_id = HeaderValue::from_str(text).expect("a UUID is visible ASCII");
        Self {
            request_id,
            provider: None,
            model: None,
            credential: None,
            attempts: 0,
            cors,
        }
    }

    pub fn resolved(&mut self, provider: &ProviderId, credential: Option<CredentialSource>) {
        self.provider = HeaderValue::from_str(provider.as_str()).ok();
        self.credential = credential;
    }

    /// Those of a refusal: nothing that belongs to another candidate than `provider`.
    pub fn refused_for(&mut self, provider: Option<&ProviderId>) {
        let named = provider.and_then(|id| HeaderValue::from_str(id.as_str()).ok());
        if self.provider != named {
            (self.provider, self.model, self.credential) = (named, None, None);
        }
    }

    /// The model, where Voxgate chose it.
    pub fn model(&mut self, model: &str) {
        self.model = HeaderValue::from_str(model).ok();
    }

    pub fn put(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.request_id.clone());
        if let Some(provider) = &self.provider {
            headers.insert(PROVIDER, provider.clone());
        }
        if let Some(model) = &self.model {
            headers.insert(MODEL, model.clone());
        }
        if self.attempts > 1 {
            headers.insert(ATTEMPTS, HeaderValue::from(self.attempts));
        }
        if let Some(source) = self.credential {
            headers.insert(CREDENTIAL, HeaderValue::from_static(source.as_str()));
        }
        if let Some(cors) = &self.cors {
            cors.put(headers);
        }
    }
}

/// A head made of parsed headers as they are. Through [`ResponseHeader`] each name would be copied and parsed anew.
pub fn head(status: StatusCode, headers: HeaderMap) -> Box<ResponseHeader> {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    parts.headers = headers;
    Box::new(ResponseHeader::from(parts))
}

/// Sets a header whose name is known to be fine, which is the only thing that could fail.
pub fn put(head: &mut ResponseHeader, name: HeaderName, value: HeaderValue) {
    let set = head.insert_header(name, value);
    debug_assert!(set.is_ok(), "inserting a parsed header");
}

/// The code, and where the console mends what it says.
pub fn mark_error(
    head: &mut ResponseHeader,
    code: Code,
    provider: &ProviderId,
    operation: Operation,
    public_url: &str,
) {
    put(head, ERROR, HeaderValue::from_static(code.as_str()));
    if let Some(url) = setup_url(code, Some(provider), Some(operation), public_url)
        && let Ok(url) = HeaderValue::from_str(&url)
    {
        put(head, SETUP_URL, url);
    }
}

fn setup_url(
    code: Code,
    provider: Option<&ProviderId>,
    operation: Option<Operation>,
    public_url: &str,
) -> Option<String> {
    let base = public_url.trim_end_matches('/');
    match code {
        Code::SelectionMissing => operation.map(|operation| format!("{base}/selections/{operation}")),
        code if code.mended_in_console() => provider.map(|id| format!("{base}/providers/{id}")),
        _ => None,
    }
}

/// A whole answer of ours.
pub struct Reply {
    status: u16,
    pub headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let mut headers = HeaderMap::with_capacity(10);
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        Self {
            status,
            headers,
            body,
        }
    }

    pub fn refusal(
        refusal: &Refusal,
        dialect: Dialect,
        operation: Option<Operation>,
        public_url: &str,
    ) -> Self {
        let code = refusal.code;
        let url = setup_url(code, refusal.provider.as_ref(), operation, public_url);
        let (content_type, body) = error_body(
            dialect,
            code,
            &refusal.message,
            refusal.param.as_deref(),
            url.as_deref(),
        );
        let mut reply = Self::new(code.status(), content_type, body);
        reply
            .headers
            .insert(ERROR, HeaderValue::from_static(code.as_str()));
        if let Some(url) = url.and_then(|url| HeaderValue::from_str(&url).ok()) {
            reply.headers.insert(SETUP_URL, url);
        }
        if let Some(seconds) = refusal.retry_after {
            reply.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }

    /// Writes it all, the body left out where the method has none.
    pub async fn send(self, session: &mut ServerSession, bodiless: bool) -> Result<(), BError> {
        let status = StatusCode::from_u16(self.status).expect("our codes have valid statuses");
        let head = head(status, self.headers);
        session.write_response_header(head).await?;
        let body = if bodiless { Bytes::new() } else { self.body };
        session.write_response_body(body, true).await
    }
}

pub fn is_bodiless(method: &Method) -> bool {
    *method == Method::HEAD
}

/// The peer's address; forwarded headers are anyone's to write and are not believed.
pub fn peer_ip(session: &ServerSession) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip().to_canonical())
}
