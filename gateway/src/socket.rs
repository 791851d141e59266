//! A caller's connection, with the two habits pingora's streams lack.
//!
//! Written bytes gather in a small buffer, so that a head and a short body leave as one packet; they are
//! flushed the moment the gateway turns to wait for something, which it always does by also reading here.
//! And a caller who takes nothing for the write limit is cut, while one who takes little is not:
//! the limit counts from the last byte the kernel accepted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A peer that has vanished without a word is noticed by probes of its host, which its program does not see.
pub const PROBE_AFTER: Duration = Duration::from_secs(60);
pub const PROBE_EVERY: Duration = Duration::from_secs(15);
pub const PROBES: u32 = 4;
/// There are no probes while something is on its way to the peer: how long that may go unacknowledged.
pub const UNHEARD: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct Socket {
    inner: Stream,
    unflushed: bool,
    write_limit: Duration,
    /// Runs while the kernel accepts nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub fn new(inner: Stream, write_limit: Duration) -> Self {
        Self {
            inner,
            unflushed: false,
            write_limit,
            stall: None,
        }
    }

    fn moved(&mut self) {
        self.stall = None;
    }

    /// Pending until the caller has taken nothing for the whole limit.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.write_limit;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the caller has stopped reading",
        ))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed
            && let Poll::Ready(Err(error)) = self.as_mut().poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, buf) {
            Poll::Ready(done) => {
                self.moved();
                self.unflushed = true;
                Poll::Ready(done)
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(done) => {
                self.moved();
                self.unflushed = false;
                Poll::Ready(done)
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_shutdown(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write_vectored(cx, bufs) {
            Poll::Ready(done) => {
                self.moved();
                self.unflushed = true;
                Poll::Ready(done)
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Socket {
    async fn shutdown(&mut self) {
        // The peer may be gone already, which is what a shutdown asks for.
        tokio::io::AsyncWriteExt::shutdown(self).await.ok();
    }
}

impl UniqueID for Socket {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Socket {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Socket {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for Socket {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Socket {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

impl Peek for Socket {}
