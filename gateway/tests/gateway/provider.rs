//! A fake provider on plain TCP: each test says what it does with a connection's requests.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct Provider {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// One connection from the gateway, positioned after a request's head.
pub struct Conversation {
    stream: TcpStream,
    received: Vec<u8>,
    pub head: String,
    /// How many connections came before this one.
    pub connection: usize,
}

impl Provider {
    /// `answer` is called once per request and returns the conversation if the connection goes on.
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Conversation) -> A + Send + Sync + 'static,
        A: Future<Output = Option<Conversation>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (answer, counter) = (Arc::new(answer), connections.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let connection = counter.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut next = Conversation::begin(stream, Vec::new(), connection).await;
                    while let Some(conversation) = next {
                        let Some(left) = answer(conversation).await else {
                            return;
                        };
                        next = Conversation::begin(left.stream, left.received, connection).await;
                    }
                });
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    /// Answers everything alike, after reading the body.
    pub async fn always(answer: &'static str) -> Self {
        Self::start(move |mut call| async move {
            call.body().await;
            call.send(answer.as_bytes()).await;
            Some(call)
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Conversation {
    async fn begin(mut stream: TcpStream, mut received: Vec<u8>, connection: usize) -> Option<Self> {
        loop {
            if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = received.split_off(end + 4);
                let head = String::from_utf8(received).unwrap();
                return Some(Self {
                    stream,
                    received: rest,
                    head,
                    connection,
                });
            }
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// More of the body as it stands on the wire; false when the gateway closed the connection.
    pub async fn more(&mut self) -> bool {
        self.received.clear();
        self.received.reserve(1 << 20);
        self.stream.read_buf(&mut self.received).await.unwrap_or(0) > 0
    }

    /// What [`Self::more`] has brought.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The whole body, by its framing.
    pub async fn body(&mut self) -> Vec<u8> {
        if let Some(length) = self
            .header("content-length")
            .map(|length| length.parse::<usize>().unwrap())
        {
            while self.received.len() < length {
                assert!(
                    self.stream.read_buf(&mut self.received).await.unwrap() > 0,
                    "the body broke off"
                );
            }
            let rest = self.received.split_off(length);
            return std::mem::replace(&mut self.received, rest);
        }
        if self.header("transfer-encoding") != Some("chunked") {
            return Vec::new();
        }
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                return body;
            }
            body.extend_from_slice(&chunk);
        }
    }

    async fn chunk(&mut self) -> Vec<u8> {
        loop {
            if let Some(line) = self.received.windows(2).position(|two| two == b"\r\n") {
                let size = std::str::from_utf8(&self.received[..line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                if self.received.len() >= line + 2 + size + 2 {
                    let chunk = self.received[line + 2..line + 2 + size].to_vec();
                    self.received.drain(..line + 2 + size + 2);
                    return chunk;
                }
            }
            assert!(
                self.stream.read_buf(&mut self.received).await.unwrap() > 0,
                "the body broke off"
            );
        }
    }

    /// Counts the body's bytes without keeping them, for a body with a length.
    pub async fn swallow(&mut self) -> u64 {
        let length: u64 = self.header("content-length").unwrap().parse().unwrap();
        let mut seen = self.received.len() as u64;
        while seen < length && self.more().await {
            seen += self.received.len() as u64;
        }
        self.received.clear();
        seen
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // Tests that leave early make this fail, which is theirs to look at.
        self.stream.write_all(bytes).await.ok();
    }

    /// Waits until the gateway has closed the connection.
    pub async fn closed(&mut self) {
        while self.more().await {}
    }

    /// Ends the connection with a reset rather than an orderly close.
    pub fn reset(self) {
        #[expect(deprecated, reason = "blocking for zero seconds blocks nobody")]
        self.stream.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}
