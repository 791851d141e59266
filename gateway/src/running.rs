//! A gateway that serves: its socket, its threads, and how both end.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callers::{Callers, RefusalBudget};
use catalogue::Catalogue;
use parking_lot::{Mutex, RwLock};
use pingora::apps::HttpServerOptions;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::Fds;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use policies::descriptor::Providers;
use policies::with_causes;
use rustix::net::sockopt;
use tempfile::NamedTempFile;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use vault::Vault;

use crate::cors::Cors;
use crate::crowd::Crowd;
use crate::listen::Front;
use crate::proxy::{Gateway, Limits, Worker};
use crate::resolve::Addresses;
use crate::socket::{PROBE_AFTER, PROBE_EVERY, PROBES, UNHEARD};
use crate::stages::admit::InFlight;
use crate::telemetry::Meters;
use crate::tls::{self, LiveCert, TlsFiles};
use crate::tunnel;
use crate::unified::breaker::Breakers;
use crate::unified::{Encoders, Spools};
use crate::workers::Workers;
use crate::{GatewaySettings, StartError};

/// Connections to providers kept for reuse, over all of them. Each costs a socket and some 10 KiB.
const POOLED: usize = 1024;
/// Reads go straight to where they are parsed; writes gather until the gateway waits.
const BUFFERS: L4BufferSettings = L4BufferSettings {
    read: Some(0),
    write: Some(8 * 1024),
};
const H2_IDLE: Duration = Duration::from_secs(75);
/// For the last frames of connections whose calls have ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// What can change while serving.
pub struct Live {
    pub cors_origins: Vec<String>,
    /// The certificate's files, read again.
    pub tls: Option<TlsFiles>,
}

/// A gateway that serves until it is drained or dropped.
pub struct Running {
    address: SocketAddr,
    gateway: Arc<Gateway>,
    cert: Option<Arc<LiveCert>>,
    stop: watch::Sender<bool>,
    listening: Vec<JoinHandle<()>>,
    workers: Workers,
}

/// Binds the socket and serves. `app` is the runtime that owns the database's connections.
pub fn start(
    settings: GatewaySettings,
    providers: Arc<Providers>,
    vault: Vault,
    callers: Callers,
    app: Handle,
    registry: &prometheus::Registry,
    catalogue: Catalogue,
) -> Result<Running, StartError> {
    // pingora would install another provider if none were there.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let workers = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        workers => workers,
    };
    let cert = settings
        .tls
        .as_ref()
        .map(LiveCert::load)
        .transpose()?
        .map(Arc::new);
    let gateway = Arc::new(gateway(
        &settings, providers, vault, callers, app, registry, catalogue,
    )?);
    let (socket, address) = bind(settings.listen)?;
    let (stop, stopping) = watch::channel(false);
    let roots = settings.ca_file.as_deref().map(tls::roots).transpose()?;
    let listeners = (0..workers)
        .map(|_| {
            let connector = connector(roots.as_ref().map(NamedTempFile::path), workers);
            let worker = Worker {
                gateway: gateway.clone(),
                connector,
            };
            listener(&socket, address, worker, cert.clone(), stopping.clone())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (workers, listening) = Workers::start(listeners).map_err(StartError::Threads)?;
    Ok(Running {
        address,
        gateway,
        cert,
        stop,
        listening,
        workers,
    })
}

fn gateway(
    settings: &GatewaySettings,
    providers: Arc<Providers>,
    vault: Vault,
    callers: Callers,
    app: Handle,
    registry: &prometheus::Registry,
    catalogue: Catalogue,
) -> Result<Gateway, StartError> {
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    options.h2_idle_timeout = Some(H2_IDLE);
    Ok(Gateway {
        limits: Limits {
            max_body_bytes: settings.max_body_bytes,
            max_head_bytes: settings.max_head_bytes,
            head_timeout: settings.head_timeout,
            write_timeout: settings.write_timeout,
            public_url: settings.public_url.clone(),
            fallback_after: settings.fallback_after,
            attempts_time: settings.attempts_time,
            spools: Spools::new(
                settings.spool_folder.clone().unwrap_or_else(std::env::temp_dir),
                settings.spool_max_bytes,
            ),
            socket_idle: settings.socket_idle,
            socket_token_time: settings.socket_token_time,
            socket_record_every: settings.socket_record_every,
            close_on_revoke: settings.close_on_revoke,
        },
        meters: Meters::new(&providers, registry)?,
        providers,
        vault,
        callers,
        app,
        addresses: Addresses::default(),
        strangers: RefusalBudget::new(),
        cors: RwLock::new(Arc::new(Cors::parse(&settings.cors_origins)?)),
        in_flight: InFlight::default(),
        busy: InFlight::default(),
        sockets: InFlight::default(),
        draining: watch::Sender::new(false),
        crowd: Crowd::of_process(),
        breakers: Breakers::default(),
        encoders: Encoders::of_machine(),
        catalogue,
        options,
    })
}

fn connector(roots: Option<&Path>, workers: usize) -> Connector {
    let mut options = ConnectorOptions::new(POOLED.div_ceil(workers));
    options.ca_file = roots.map(|path| path.to_string_lossy().into_owned());
    Connector::new(Some(options))
}

/// The socket is ours, so that port 0 is known before anyone is served.
fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |source| StartError::Bind { address, source };
    let socket = TcpListener::bind(address).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    probe_peers(&socket).map_err(|error| refused(error.into()))?;
    let bound = socket.local_addr().map_err(refused)?;
    Ok((socket, bound))
}

/// Connections inherit it from the socket that accepts them.
fn probe_peers(socket: &TcpListener) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(socket, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(socket, PROBES)?;
    sockopt::set_tcp_user_timeout(socket, UNHEARD.as_millis() as u32)
}

/// One thread's accept loop, on a handle of its own to the one socket.
fn listener(
    socket: &TcpListener,
    address: SocketAddr,
    worker: Worker,
    cert: Option<Arc<LiveCert>>,
    stopping: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
    let socket = socket
        .try_clone()
        .map_err(|source| StartError::Bind { address, source })?;
    let mut endpoint = ListenerConfig::tcp(address.to_string()).l4_buffer(BUFFERS);
    if let Some(cert) = cert {
        endpoint = endpoint.tls(tls::listener(cert)?);
    }
    let mut service = Service::new("gateway".to_owned(), Front(Arc::new(worker)));
    service.add_listener(endpoint);
    let mut inherited = Fds::new();
    inherited.add(address.to_string(), socket.into_raw_fd());
    let inherited = Arc::new(Mutex::new(inherited));
    Ok(async move { service.start_service(Some(inherited), stopping, 1).await })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls under way.
    pub fn in_flight(&self) -> usize {
        self.gateway.in_flight.now()
    }

    /// Takes over what can change while serving; on an error nothing has changed.
    pub fn reload(&self, live: Live) -> Result<(), StartError> {
        let cors = Cors::parse(&live.cors_origins)?;
        match (&self.cert, &live.tls) {
            (Some(cert), Some(files)) => cert.reload(files)?,
            (None, None) => {}
            _ => return Err(StartError::TlsSwitched),
        }
        *self.gateway.cors.write() = Arc::new(cors);
        Ok(())
    }

    /// Closes the listener and idle connections at once, lets calls end, and returns the moment the last one
    /// has, or at the deadline, which ends the rest. Those are on record as interrupted.
    pub async fn drain(mut self, deadline: Duration) {
        let end = Instant::now() + deadline;
        self.stop.send_replace(true);
        for listener in &mut self.listening {
            if timeout_at(end, listener).await.is_err() {
                tracing::warn!("a listener did not close before the deadline");
            }
        }
        self.let_calls_end(end).await;
        let workers = self.workers;
        if let Err(error) = tokio::task::spawn_blocking(move || workers.stop()).await {
            tracing::error!(error = with_causes(&error), "stopping the gateway's threads");
        }
    }

    /// A connection may be between its request's head and its call, so both counts have to reach zero.
    /// HTTP/2 connections whose peers do not say goodbye are not waited for longer than [`FAREWELL`].
    async fn let_calls_end(&self, end: Instant) {
        loop {
            if timeout_at(end, self.gateway.in_flight.none_left()).await.is_err() {
                tracing::warn!(
                    calls = self.in_flight(),
                    "calls are cut off at the drain deadline"
                );
                self.gateway.draining.send_replace(true);
                // WebSockets send close frames to both sides, which may take them a moment.
                timeout(tunnel::CLOSING, self.gateway.sockets.none_left())
                    .await
                    .ok();
                return;
            }
            let farewell = (Instant::now() + FAREWELL).min(end);
            let closed = timeout_at(farewell, self.gateway.busy.none_left()).await.is_ok();
            if closed || self.in_flight() == 0 {
                return;
            }
        }
    }
}
