//! The listener: connections in, answers out, and a stop that lets calls in flight finish.
//!
//! A connection that is slow to send a head, or that never reads its answers, is ended by time, and only so
//! many are open at once: whoever can reach this port cannot keep others from it for long.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use callers::{Callers, RefusalBudget};
use catalogue::Catalogue;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use policies::descriptor::Providers;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt;
use vault::{SystemClock, Vault};

use crate::Admin;
use crate::caller::Peer;
use crate::telemetry::{Telemetry, accept_failed, connection_broke};

const CONNECTIONS_MAX: usize = 1_024;
/// For one request's head; an idle connection ends after as long.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// After this a connection answers what it has and closes.
const CONNECTION_MAX_AGE: Duration = Duration::from_secs(300);
/// For the last answer to be made and read once a connection is to close.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(15);
const HEAD_MAX: usize = 32 * 1024;

pub struct AdminSettings {
    pub listen: SocketAddr,
    /// Where people reach this listener; `setup_url` starts with it.
    pub public_url: String,
}

/// A listener at work. Dropping it begins the stop without waiting for the end.
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("listening on {address}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("registering the admin listener's metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Binds and serves. Call it on the runtime that is to drive the listener.
pub fn start(
    settings: AdminSettings,
    providers: Arc<Providers>,
    vault: Vault,
    callers: Callers,
    catalogue: Catalogue,
    registry: prometheus::Registry,
) -> Result<Running, StartError> {
    let admin = Admin {
        public_url: settings.public_url.trim_end_matches('/').to_owned(),
        providers,
        vault,
        callers,
        clock: Arc::new(SystemClock),
        catalogue,
        strangers: RefusalBudget::new(),
        telemetry: Telemetry::register(&registry)?,
        registry,
    };
    let (listener, address) = bind(settings.listen).map_err(|source| StartError::Listen {
        address: settings.listen,
        source,
    })?;
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(accept(listener, crate::api::router(Arc::new(admin)), stopped));
    Ok(Running {
        address,
        stop,
        serving,
    })
}

impl Running {
    /// Where it listens; tells the port when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and waits until the calls in flight are answered, or the deadline passes.
    pub async fn stop(mut self, deadline: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(deadline, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let bound = socket.local_addr()?;
    Ok((TcpListener::from_std(socket)?, bound))
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let arriving = async {
            let place = places
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => continue,
            arrived = arriving => arrived,
        };
        match accepted {
            Ok((socket, peer)) => {
                let serving = serve(socket, peer.ip(), router.clone(), stopped.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(cause) => {
                accept_failed(&cause);
                // Out of descriptors: the next attempt would fail at once, and the one after it.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(socket: TcpStream, peer: IpAddr, router: Router, mut stopped: watch::Receiver<bool>) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MAX);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopped.changed() => None,
        () = tokio::time::sleep(CONNECTION_MAX_AGE) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_ANSWER_WITHIN, connection)
                .await
                .unwrap_or(Ok(()))
        }
    };
    if let Err(cause) = ended {
        connection_broke(&cause);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;

    /// A listener whose `/` answers once told to.
    async fn listening() -> (SocketAddr, Arc<Notify>, watch::Sender<bool>, JoinHandle<()>) {
        let answer = Arc::new(Notify::new());
        let told = answer.clone();
        let router = Router::new().route(
            "/",
            get(move || async move {
                told.notified().await;
                "done"
            }),
        );
        let (listener, address) = bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let (stop, stopped) = watch::channel(false);
        (
            address,
            answer,
            stop,
            tokio::spawn(accept(listener, router, stopped)),
        )
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_cut_off() {
        let (address, _, _stop, _serving) = listening().await;
        let mut socket = TcpStream::connect(address).await.expect("connects");
        socket
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
            .await
            .expect("sent");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(HEAD_WITHIN * 2, socket.read_to_end(&mut rest)).await;
        ended.expect("ended in time").expect("read to the end");
        assert!(
            !rest.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&rest)
        );
    }

    #[tokio::test]
    async fn a_stop_answers_what_is_in_flight_and_takes_nothing_new() {
        let (address, answer, stop, serving) = listening().await;
        let mut busy = TcpStream::connect(address).await.expect("connects");
        busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .expect("sent");
        let mut idle = TcpStream::connect(address).await.expect("connects");
        tokio::time::sleep(Duration::from_millis(50)).await;

        let started = Instant::now();
        stop.send_replace(true);
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest)
            .await
            .expect("an idle connection is closed");
        assert!(TcpStream::connect(address).await.is_err(), "nothing new is taken");
        assert!(!serving.is_finished(), "a call is in flight");
        answer.notify_one();
        busy.read_to_end(&mut rest).await.expect("answered");
        assert!(String::from_utf8_lossy(&rest).ends_with("done"));
        serving.await.expect("ends by itself");
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
    }

    #[tokio::test]
    async fn a_whole_listener_starts_answers_and_stops() {
        let house = crate::harness::House::build().await;
        let settings = AdminSettings {
            listen: ([127, 0, 0, 1], 0).into(),
            public_url: "http://admin.test/".to_owned(),
        };
        let admin = &house.admin;
        let (providers, vault, callers, catalogue) = (
            admin.providers.clone(),
            admin.vault.clone(),
            admin.callers.clone(),
            admin.catalogue.clone(),
        );
        let registry = prometheus::Registry::new();
        let running = start(settings, providers, vault, callers, catalogue, registry).expect("starts");
        let url = format!("http://{}", running.address());
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()
            .expect("a client");
        let page = client
            .get(format!("{url}/providers/azure"))
            .send()
            .await
            .expect("answered");
        assert!(
            page.text()
                .await
                .expect("a page")
                .contains("http://admin.test/api/v1/credentials/azure")
        );
        running.stop(Duration::from_secs(5)).await;
        assert!(
            client.get(format!("{url}/healthz")).send().await.is_err(),
            "nothing listens any more"
        );
    }
}
