//! Handshakes of WebSockets, written out, and the answers to them: an upgrade or a refusal.

use std::os::fd::AsFd;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Planted;
use super::socket::{Socket, Stream};
use crate::fakes::tls::Authority;

/// A handshake that is still to be made.
pub struct Dial {
    address: String,
    target: String,
    headers: Vec<(String, String)>,
    tls: Option<Arc<ClientConfig>>,
    planted: Option<Arc<Planted>>,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer other than 101.
#[derive(Debug)]
pub struct Refused {
    pub head: Head,
    pub body: String,
}

impl Refused {
    /// Checks a refusal of the gateway's, or one of the provider's that it recognises.
    #[track_caller]
    pub fn says(&self, status: u16, code: &str) -> &Self {
        let got = (self.head.status, self.head.header("x-voxgate-error"));
        assert_eq!(got, (status, Some(code)), "{self:?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("JSON expected: {self:?}"))
    }
}

impl Dial {
    /// `url` begins with `http://` or `ws://`, or with `https://` or `wss://` where `trusting` is called too.
    pub fn to(url: &str) -> Self {
        let (_, rest) = url.split_once("://").expect("a whole URL");
        let at = rest.find('/').expect("a path");
        let (address, target) = (rest[..at].to_owned(), rest[at..].to_owned());
        Self {
            address,
            target,
            headers: Vec::new(),
            tls: None,
            planted: None,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn trusting(mut self, authority: &Authority) -> Self {
        self.tls = Some(Arc::new(authority.client()));
        self
    }

    pub fn searched(mut self, planted: &Arc<Planted>) -> Self {
        self.planted = Some(planted.clone());
        self
    }

    pub async fn open(self) -> Socket {
        let target = self.target.clone();
        match self.attempt().await {
            Ok(socket) => socket,
            Err(refused) => panic!("{target} is refused: {refused:?}"),
        }
    }

    pub async fn refused(self) -> Refused {
        match self.attempt().await {
            Ok(socket) => panic!("it was to be refused, and is open: {:?}", socket.head),
            Err(refused) => refused,
        }
    }

    pub async fn attempt(self) -> Result<Socket, Refused> {
        let tcp = TcpStream::connect(&self.address).await.expect("somebody listens");
        tcp.set_nodelay(true).expect("an option that sockets have");
        let handle = tcp.as_fd().try_clone_to_owned().expect("one more handle").into();
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(secured(tls.clone(), tcp).await),
        };
        let mut socket = Socket {
            head: Head {
                status: 0,
                headers: Vec::new(),
            },
            stream,
            handle,
            buffer: Vec::new(),
            planted: self.planted.clone(),
        };
        socket.send_raw(self.request().as_bytes()).await;
        socket.head = socket.read_head().await;
        if socket.head.status == 101 {
            socket.check_head();
            return Ok(socket);
        }
        Err(socket.refusal().await)
    }

    fn request(&self) -> String {
        let mut request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", self.target, self.address);
        request.push_str("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        request.push_str("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request + "\r\n"
    }
}

impl Socket {
    /// A body of a known length, of chunks, or up to the connection's end.
    async fn refusal(mut self) -> Refused {
        let length = self
            .head
            .header("content-length")
            .and_then(|length| length.parse().ok());
        let chunked = self.head.header("transfer-encoding").is_some();
        let done = |buffer: &[u8]| match length {
            Some(length) => buffer.len() >= length,
            None => chunked && buffer.ends_with(b"0\r\n\r\n"),
        };
        while !done(&self.buffer) && self.read_more().await {}
        self.search("a refusal's body", &self.buffer);
        Refused {
            body: String::from_utf8_lossy(&self.buffer).into_owned(),
            head: self.head,
        }
    }
}

async fn secured(tls: Arc<ClientConfig>, stream: TcpStream) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").expect("a name");
    let connecting = TlsConnector::from(tls).connect(name, stream);
    connecting.await.expect("a certificate to trust")
}
