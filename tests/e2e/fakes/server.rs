//! Sockets of the fakes: HTTP/1.1, from which WebSockets are upgraded, and, over TLS, HTTP/2.

use std::future::Future;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::answer::Broken;
use super::tls::Identity;

pub struct Socket {
    pub url: String,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
}

impl Socket {
    pub async fn bind(identity: Option<&Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a fake to loopback");
        let port = listener.local_addr().expect("address of the fake").port();
        let acceptor =
            identity.map(|identity| TlsAcceptor::from(Arc::new(identity.server(&["h2", "http/1.1"]))));
        // Certificates name localhost, so that is what TLS clients dial.
        let url = match acceptor {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        Self {
            url,
            listener,
            acceptor,
        }
    }

    /// Serves until the runtime ends, or the line is hung up.
    pub fn serve<F, A>(self, answer: F) -> Line
    where
        F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
    {
        let line = Line::default();
        let connections = line.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = self.listener.accept().await else {
                    continue;
                };
                let answer = answer.clone();
                let acceptor = self.acceptor.clone();
                let talking = tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let wire = Wire::of(&stream);
                    match acceptor {
                        None => converse(stream, wire, answer).await,
                        // A client that does not trust the certificate ends it here.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                converse(stream, wire, answer).await;
                            }
                        }
                    }
                });
                connections.keep(talking.abort_handle());
            }
        });
        line.keep(accepting.abort_handle());
        line
    }
}

/// The TCP connection below a request, to end it as no library does.
pub struct Wire(socket2::Socket);

impl Wire {
    fn of(stream: &TcpStream) -> Arc<Self> {
        let handle = stream.as_fd().try_clone_to_owned().expect("one more handle");
        Arc::new(Self(handle.into()))
    }

    /// Whatever was not delivered by the time of the last handle's end is lost, and the other side is told so.
    pub fn reset_on_close(&self) {
        let linger = Some(Duration::ZERO);
        self.0.set_linger(linger).expect("an option that sockets have");
    }

    /// The other side reads to the end; it may go on writing. It may also be gone already.
    pub fn end_writing(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// The listening socket and every connection that was taken from it.
#[derive(Clone, Default)]
pub struct Line(Arc<Mutex<Vec<AbortHandle>>>);

impl Line {
    pub fn keep(&self, task: AbortHandle) {
        self.0.lock().unwrap().push(task);
    }

    /// Closes all of it; whoever dials from now on is refused.
    pub fn hang_up(&self) {
        self.0.lock().unwrap().drain(..).for_each(|task| task.abort());
    }
}

async fn converse<S, F, A>(stream: S, wire: Arc<Wire>, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
{
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(wire.clone());
        answer(request)
    });
    // An error here is the other side's leaving, which the call's record tells.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}
