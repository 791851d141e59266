//! The one client that asks providers: validation, models, voices, quota.
//!
//! It goes where `policies::rewrite` says and nowhere else: redirects are answers, proxies of the
//! environment are not used, and only so much of an answer is read. It holds no key longer than one call.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use policies::rewrite::UpstreamCall;
use policies::with_causes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::Instant;

/// Lists of voices are the largest answers; Azure's has several hundred entries of about 1 KiB.
const ANSWER_MAX: usize = 8 * 1024 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// For everything that one call asks of a provider, so that its own answer comes within ten.
const ASK_WITHIN: Duration = Duration::from_secs(8);

/// Until when a call that begins now may ask providers.
pub fn deadline() -> Instant {
    Instant::now() + ASK_WITHIN
}

pub struct Asker {
    client: reqwest::Client,
}

/// What a provider said, whatever it said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why a provider said nothing that can be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Silence {
    #[error("the provider did not answer in time")]
    Timeout,
    #[error("the provider's host name does not resolve: {0}")]
    Unresolved(String),
    #[error("asking the provider: {0}")]
    Unreachable(String),
    #[error("the provider's answer is larger than {ANSWER_MAX} bytes")]
    TooLong,
}

#[derive(Debug, thiserror::Error)]
pub enum AskerError {
    #[error("reading the roots in {path}")]
    ReadRoots { path: PathBuf, source: std::io::Error },
    #[error("parsing the roots in {path}")]
    ParseRoots { path: PathBuf, source: reqwest::Error },
    #[error("building the client for providers")]
    Build(#[source] reqwest::Error),
}

impl Asker {
    /// `ca_file` holds PEM roots to trust beside the system's.
    pub fn new(ca_file: Option<PathBuf>) -> Result<Self, AskerError> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .user_agent(concat!("voxgate/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(SystemNames));
        if let Some(path) = ca_file {
            let pem = std::fs::read(&path).map_err(|source| AskerError::ReadRoots {
                path: path.clone(),
                source,
            })?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|source| AskerError::ParseRoots { path, source })?;
            builder = builder.tls_certs_merge(roots);
        }
        Ok(Self {
            client: builder.build().map_err(AskerError::Build)?,
        })
    }

    /// Asks once. The deadline covers name resolution and the whole answer.
    pub async fn ask(&self, call: UpstreamCall, deadline: Instant) -> Result<Answer, Silence> {
        match tokio::time::timeout_at(deadline, self.exchange(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(Silence::Timeout),
        }
    }

    async fn exchange(&self, call: UpstreamCall) -> Result<Answer, Silence> {
        let request = self.client.request(call.method, call.url).headers(call.headers);
        let mut response = request.send().await.map_err(silence)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(silence)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(Silence::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            headers,
            body: body.freeze(),
        })
    }
}

/// reqwest's account without the address, whose query may hold a key.
fn silence(error: reqwest::Error) -> Silence {
    let error = error.without_url();
    if error.is_timeout() {
        return Silence::Timeout;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(Unresolved(why)) = inner.downcast_ref() {
            return Silence::Unresolved(why.to_string());
        }
        cause = inner.source();
    }
    Silence::Unreachable(with_causes(&error))
}

/// The system's resolver, with a failure that can be told from a refused connection.
struct SystemNames;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unresolved(std::io::Error);

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(Unresolved)?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}
