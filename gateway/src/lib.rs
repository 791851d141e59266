//! The data plane: TTS and STT traffic between callers and providers.
//!
//! A connection arrives in [`listen`], its requests go through [`proxy`] in the order of the [`stages`], and
//! each ends in `record`. Those under `/v1` are served by [`unified`], over the same stages. Sockets, TLS, pooling and the two HTTP versions are pingora's; the
//! exchange between the two sides is ours, because the verdict on a refused key needs the provider's answer
//! before its head is passed on. No provider's name and no SQL occur here.

mod cors;
mod crowd;
mod gathered;
mod listen;
mod proxy;
mod resolve;
mod respond;
mod running;
mod socket;
mod stages;
mod telemetry;
mod tls;
mod tunnel;
mod unified;
mod workers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

pub use running::{Live, Running, start};
pub use tls::TlsFiles;

/// Whether these can be the origins whose pages may call.
pub fn check_origins(origins: &[String]) -> Result<(), StartError> {
    cors::Cors::parse(origins).map(drop)
}

/// The `[gateway]` section, checked and with defaults filled in.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    pub listen: SocketAddr,
    /// 0: one per core.
    pub workers: usize,
    pub max_body_bytes: u64,
    pub tls: Option<TlsFiles>,
    /// Origins whose pages may call; `*` admits all.
    pub cors_origins: Vec<String>,
    /// From the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    pub max_head_bytes: usize,
    /// How long a reader may take nothing at all.
    pub write_timeout: Duration,
    /// How long a candidate of `/v1` may take while another one is left.
    pub fallback_after: Duration,
    /// How long all candidates of a request to `/v1` may take together, until the answer begins.
    pub attempts_time: Duration,
    /// Where uploads to `/v1` wait that cannot go up as they come; the system's own when absent.
    pub spool_folder: Option<PathBuf>,
    /// How much of the disk all of them may take together.
    pub spool_max_bytes: u64,
    /// How long a WebSocket may be silent in both directions.
    pub socket_idle: Duration,
    /// How long a caller may take to show its token, where that comes in the first message.
    pub socket_token_time: Duration,
    /// How often an open WebSocket puts on record what it has used so far.
    pub socket_record_every: Duration,
    /// Whether what is taken back closes open WebSockets. `None`: a revoked token and a deleted credential do;
    /// `true`: a replaced credential does too; `false`: nothing does.
    pub close_on_revoke: Option<bool>,
    /// The console's address, for `x-voxgate-setup-url`.
    pub public_url: String,
    /// Roots to trust towards providers, beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Why the gateway cannot start, or cannot take over changed settings.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("binding {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("reading {path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("the certificate {cert} and the key {key} do not make a pair: {reason}")]
    Certificate {
        cert: PathBuf,
        key: PathBuf,
        reason: String,
    },
    #[error("preparing the listener's TLS: {0}")]
    Tls(String),
    #[error("gathering the roots that providers' certificates are checked against")]
    Roots(#[source] std::io::Error),
    #[error("cors_origins: {0:?} is not an origin such as https://app.example.com")]
    CorsOrigin(String),
    #[error("starting the threads that serve")]
    Threads(#[source] std::io::Error),
    #[error("registering metrics")]
    Metrics(#[from] prometheus::Error),
    #[error("TLS cannot be switched on or off while running; restart to do so")]
    TlsSwitched,
}
