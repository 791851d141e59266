//! A connection to a provider that sends when the gateway turns to wait.
//!
//! pingora flushes a request's head before it sees the body. Here a flush only says that something is unsent;
//! it leaves at the next read, which every wait for a provider begins with, so that a head and a short body
//! are one packet, and one TLS record.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};

/// Holds a head and the body of most calls to speak a text.
const ROOM: usize = 4 * 1024;

#[derive(Debug)]
pub struct Gathered {
    inner: BufWriter<Stream>,
    unsent: bool,
}

impl Gathered {
    pub fn new(inner: Stream) -> Self {
        Self {
            inner: BufWriter::with_capacity(ROOM, inner),
            unsent: false,
        }
    }

    fn stream(&self) -> &Stream {
        self.inner.get_ref()
    }
}

impl AsyncRead for Gathered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let sent = if self.unsent {
            Pin::new(&mut self.inner).poll_flush(cx)
        } else {
            Poll::Ready(Ok(()))
        };
        self.unsent = sent.is_pending();
        // A provider that takes no more may have said why, so that what there is to read comes first.
        match (Pin::new(&mut self.inner).poll_read(cx, buf), sent) {
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (read, _) => read,
        }
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.unsent = true;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unsent = true;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Gathered {
    async fn shutdown(&mut self) {
        // The peer may be gone already, which is what a shutdown asks for.
        AsyncWriteExt::shutdown(self).await.ok();
    }
}

impl UniqueID for Gathered {
    fn id(&self) -> UniqueIDType {
        self.stream().id()
    }
}

impl Ssl for Gathered {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream().selected_alpn_proto()
    }
}

impl GetTimingDigest for Gathered {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream().get_timing_digest()
    }
}

impl GetProxyDigest for Gathered {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream().get_proxy_digest()
    }
}

impl GetSocketDigest for Gathered {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream().get_socket_digest()
    }
}

impl Peek for Gathered {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, duplex};
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_head_and_a_body_leave_together_once_an_answer_is_waited_for() {
        let (ours, mut provider) = duplex(1024);
        let mut gathered = Gathered::new(Box::new(ours));
        for part in [b"head", b"body"] {
            gathered.write_all(part).await.unwrap();
            gathered.flush().await.unwrap();
        }
        let mut received = [0; 16];
        assert!(timeout(MOMENT, provider.read(&mut received)).await.is_err());
        assert!(timeout(MOMENT, gathered.read_u8()).await.is_err());
        let length = provider.read(&mut received).await.unwrap();
        assert_eq!(&received[..length], b"headbody");
    }

    #[tokio::test]
    async fn what_a_provider_said_before_it_closed_is_read_and_then_that_it_is_gone() {
        let (ours, mut provider) = duplex(1024);
        let mut gathered = Gathered::new(Box::new(ours));
        provider.write_all(b"no").await.unwrap();
        drop(provider);
        gathered.write_all(b"head").await.unwrap();
        let mut said = Vec::new();
        gathered.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"no");
    }
}
