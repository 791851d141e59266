//! Sockets of the fakes: HTTP/1.1 and, over TLS, HTTP/2.

use std::future::Future;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
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
                    match acceptor {
                        None => converse(stream, answer).await,
                        // A client that does not trust the certificate ends it here.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                converse(stream, answer).await;
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

/// The listening socket and every connection that was taken from it.
#[derive(Clone, Default)]
pub struct Line(Arc<Mutex<Vec<AbortHandle>>>);

impl Line {
    fn keep(&self, task: AbortHandle) {
        self.0.lock().unwrap().push(task);
    }

    /// Closes all of it; whoever dials from now on is refused.
    pub fn hang_up(&self) {
        self.0.lock().unwrap().drain(..).for_each(|task| task.abort());
    }
}

async fn converse<S, F, A>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
{
    let service = service_fn(move |request: Request<hyper::body::Incoming>| answer(request.map(Body::new)));
    // An error here is the other side's leaving, which the call's record tells.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
