//! Connections from callers: which HTTP they speak, how long a head may take, and when a kept-alive connection
//! ends.
//!
//! The limit on a head runs from its first byte, so that neither a slow drip nor a reused connection evades
//! it. A connection may be silent between requests for [`KEEP_ALIVE`], where places run out for [`IMPATIENCE`]; past the
//! last place connections are closed unheard. HTTP/2 connections are handed to pingora, which has its own limits on heads and streams.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::ServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as Transport;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::proxy::{After, Gateway, Worker};
use crate::socket::Socket;

const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How often a silent connection is looked at, and how long one may be silent in a crowd.
const IMPATIENCE: Duration = Duration::from_secs(5);
const FIRST_READ: usize = 4096;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For a body that is left over after the answer.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The application that pingora hands accepted connections to, TLS done.
pub struct Front(pub Arc<Worker>);

#[async_trait]
impl ServerApp for Front {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (worker, gateway) = (&self.0, &self.0.gateway);
        let _place = gateway.crowd.enter()?;
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            let _busy = gateway.busy.enter();
            return worker.process_new(stream, shutdown).await;
        }
        let mut received = BytesMut::with_capacity(FIRST_READ);
        if !first_bytes(gateway, &mut stream, &mut received, shutdown).await {
            return None;
        }
        if PREFACE.starts_with(&received[..received.len().min(PREFACE.len())]) {
            let begun = Instant::now() + gateway.limits.head_timeout;
            if !timeout_at(begun, whole_preface(&mut stream, &mut received))
                .await
                .unwrap_or(false)
            {
                return None;
            }
            if received.starts_with(PREFACE) {
                let _busy = gateway.busy.enter();
                return worker.process_new(rewound(stream, &received)?, shutdown).await;
            }
        }
        let socket = Socket::new(stream, gateway.limits.write_timeout);
        converse(worker, Box::new(socket), received, shutdown).await;
        None
    }
}

/// HTTP/1: one request after the other.
async fn converse(worker: &Worker, mut stream: Stream, mut received: BytesMut, shutdown: &ShutdownWatch) {
    loop {
        if received.is_empty() {
            received.reserve(FIRST_READ);
            if !first_bytes(&worker.gateway, &mut stream, &mut received, shutdown).await {
                return;
            }
        }
        let _busy = worker.gateway.busy.enter();
        let mut session = ServerSession::new_http1(stream);
        if !read_head(&worker.gateway, &mut session, received).await {
            return;
        }
        let draining = *shutdown.borrow();
        if draining {
            session.set_keepalive(None);
        }
        if worker.serve(&mut session, draining).await == After::Cut {
            return;
        }
        let Ok(Some(reusable)) = session.finish().await else {
            return;
        };
        let (kept, pipelined) = reusable.into_parts();
        stream = kept;
        received = pipelined.unwrap_or_default();
    }
}

/// True once there is something to read; false when the caller left, stayed silent, or we are draining.
async fn first_bytes(
    gateway: &Gateway,
    stream: &mut Stream,
    received: &mut BytesMut,
    shutdown: &ShutdownWatch,
) -> bool {
    let mut shutdown = shutdown.clone();
    tokio::select! {
        biased;
        read = stream.read_buf(received) => matches!(read, Ok(1..)),
        () = too_long(gateway) => false,
        _ = shutdown.wait_for(|draining| *draining) => false,
    }
}

/// Returns when silence has lasted long enough.
async fn too_long(gateway: &Gateway) {
    let end = Instant::now() + KEEP_ALIVE;
    while Instant::now() < end {
        sleep(IMPATIENCE).await;
        if gateway.crowd.is_dense() {
            return;
        }
    }
}

/// Reads on while what is there could still become HTTP/2's preface.
async fn whole_preface(stream: &mut Stream, received: &mut BytesMut) -> bool {
    while received.len() < PREFACE.len() && PREFACE.starts_with(received) {
        if !matches!(stream.read_buf(received).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// The connection with what was read from it put back. Only plain connections come here.
fn rewound(stream: Stream, received: &[u8]) -> Option<Stream> {
    let mut transport = stream.into_any().downcast::<Transport>().ok()?;
    transport.rewind(received);
    Some(transport)
}

/// False when there is no request to serve; the caller has been told why where it can be.
async fn read_head(gateway: &Gateway, session: &mut ServerSession, received: BytesMut) -> bool {
    session.set_read_timeout(None);
    session.set_total_drain_timeout(Some(DRAIN_TIME));
    let ServerSession::H1(connection) = session else {
        return false;
    };
    connection.set_pipelining_enabled(true);
    connection.set_pipelined_prefix(received);
    let (message, cause) = match timeout(gateway.limits.head_timeout, connection.read_request()).await {
        Ok(Ok(Some(bytes))) if bytes <= gateway.limits.max_head_bytes => return true,
        Ok(Ok(Some(_))) => ("the request head is too large", None),
        Ok(Ok(None)) => return false,
        // The error quotes what was received, which may hold a token.
        Ok(Err(error)) => (
            "the request head is malformed",
            Some(error.etype().as_str().to_owned()),
        ),
        Err(_) => ("the request head did not arrive in time", None),
    };
    gateway.refuse_head(session, message, cause).await;
    false
}
