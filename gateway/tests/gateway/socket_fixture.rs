//! Both sides of a WebSocket as the tests have them: a provider that each test tells what to do, and a caller.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use policies::socket::frames;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response as Answer;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::fixture::Fixture;

pub const INPUT: &str = "/elevenlabs/v1/text-to-speech/anna/stream-input";
pub const PATIENCE: Duration = Duration::from_secs(15);

pub type Socket = WebSocketStream<TcpStream>;

/// A provider of WebSockets.
pub struct Provider {
    pub address: SocketAddr,
    /// The heads that came, as `name: value` lines behind the target.
    pub heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Provider {
    /// Agrees to each WebSocket, with these headers too, and hands it to `converse`.
    pub async fn start<F, A>(headers: &'static [(&'static str, &'static str)], converse: F) -> Self
    where
        F: Fn(Socket) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, converse) = (heads.clone(), Arc::new(converse));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, converse) = (seen.clone(), converse.clone());
                tokio::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    #[expect(clippy::result_large_err, reason = "the library asks for this type")]
                    let agree = |request: &Request, mut response: Response| {
                        seen.lock().push(shown(request));
                        for (name, value) in headers {
                            response.headers_mut().insert(*name, value.parse().unwrap());
                        }
                        Ok(response)
                    };
                    let socket = tokio_tungstenite::accept_hdr_async(stream, agree).await;
                    converse(socket.unwrap()).await;
                });
            }
        });
        Self { address, heads, task }
    }

    /// Sends back every message.
    pub async fn echo() -> Self {
        Self::start(&[], echo).await
    }
}

pub async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.ok();
        }
    }
}

/// Sends back every message, and holds whoever calls to the protocol's letter: what breaks it is told its code and
/// why. Reads to the caller's end, so that no connection is reset.
pub async fn strict_echo() -> Provider {
    Provider::start(&[], |mut socket| async move {
        let broken = loop {
            match socket.next().await {
                Some(Ok(message)) if message.is_text() || message.is_binary() => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(Error::Protocol(error))) => break Some((1002, error.to_string())),
                Some(Err(Error::Utf8(error))) => break Some((1007, error.to_string())),
                Some(Err(Error::Capacity(error))) => break Some((1009, error.to_string())),
                Some(Err(_)) | None => break None,
            }
        };
        let stream = socket.get_mut();
        if let Some((code, reason)) = broken {
            stream
                .write_all(&frames::CloseFrame::new(code, &reason).frame(None))
                .await
                .ok();
        }
        stream.shutdown().await.ok();
        let mut nowhere = tokio::io::sink();
        let read = tokio::io::copy(stream, &mut nowhere);
        timeout(PATIENCE, read).await.ok();
    })
    .await
}

fn shown(request: &Request) -> String {
    let headers = request.headers().iter();
    let lines = headers.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    format!("{}\n{}", request.uri(), lines.collect::<String>())
}

/// Asks for a WebSocket with these headers.
pub async fn open(
    fixture: &Fixture,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(Socket, Answer), Error> {
    let url = format!("ws://{}{path}", fixture.address());
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(fixture.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    timeout(PATIENCE, tokio_tungstenite::client_async(request, stream))
        .await
        .expect("no answer came")
}

/// The user's own WebSocket.
pub async fn opened(fixture: &Fixture, path: &str) -> Socket {
    let token = fixture.token.clone();
    open(fixture, path, &[("xi-api-key", &token)]).await.unwrap().0
}

pub async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

/// The next data message.
pub async fn hear(socket: &mut Socket) -> Message {
    loop {
        match heard(socket).await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(message)) => return message,
            other => panic!("{other:?} instead of a message"),
        }
    }
}

pub async fn heard(socket: &mut Socket) -> Option<Result<Message, Error>> {
    timeout(PATIENCE, socket.next()).await.expect("nothing came")
}

/// Code and reason of the close frame that comes next.
pub async fn close_frame(socket: &mut Socket) -> (u16, String) {
    loop {
        match heard(socket).await {
            Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
            Some(Ok(Message::Close(None))) => return (1005, String::new()),
            Some(Ok(_)) => continue,
            other => panic!("{other:?} instead of a close frame"),
        }
    }
}

pub fn closing(code: u16, reason: &str) -> CloseFrame {
    CloseFrame {
        code: CloseCode::from(code),
        reason: reason.to_owned().into(),
    }
}
