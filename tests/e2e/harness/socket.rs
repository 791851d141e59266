//! A WebSocket client of the tests' own, raw enough for what no library sends: frames in pieces, odd frames, half a
//! connection. It checks what it receives by RFC 6455 and searches it for planted secrets.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Planted;
use super::dial::Head;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CONTINUATION: u8 = 0;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Bytes(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Close),
    /// The connection ended, with or without a close before.
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: Option<u16>,
    pub reason: String,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct Socket {
    pub head: Head,
    pub(super) stream: Box<dyn Stream>,
    /// The same connection, to end it as no library does.
    pub(super) handle: socket2::Socket,
    pub(super) buffer: Vec<u8>,
    pub(super) planted: Option<Arc<Planted>>,
}

impl Socket {
    pub(super) fn check_head(&self) {
        let accept = self.head.header("sec-websocket-accept");
        assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{:?}", self.head);
        let upgrade = self.head.header("upgrade").unwrap_or("");
        assert!(upgrade.eq_ignore_ascii_case("websocket"), "{:?}", self.head);
        assert_eq!(
            self.head.header("sec-websocket-extensions"),
            None,
            "nothing was offered"
        );
    }

    pub(super) async fn read_head(&mut self) -> Head {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            assert!(self.read_more().await, "the connection ends before an answer");
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).expect("a head in UTF-8");
        self.search("an upgrade's answer", head.as_bytes());
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(':'));
        Head {
            status: status.and_then(|status| status.parse().ok()).expect("a status"),
            headers: headers
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .collect(),
        }
    }

    pub(super) async fn read_more(&mut self) -> bool {
        let reading = self.stream.read_buf(&mut self.buffer);
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(read)) => read > 0,
            // A reset is an end too.
            Ok(Err(_)) => false,
            Err(_) => panic!("nothing came for {PATIENCE:?}"),
        }
    }

    pub(super) fn search(&self, place: &str, bytes: &[u8]) {
        if let Some(planted) = &self.planted {
            planted.search(place, bytes);
        }
    }

    /// Bytes as they are; an error is the other side's leaving, which the next reading tells.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// One frame; `first` is its first byte, so that bits which nobody sets can be set.
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send_raw(&frame(first, payload)).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(0x80 | TEXT, text.as_bytes()).await;
    }

    pub async fn send_json(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.send_frame(0x80 | BINARY, bytes).await;
    }

    /// One message in frames of at most so many bytes.
    pub async fn send_in_pieces(&mut self, kind: u8, payload: &[u8], size: usize) {
        let count = payload.len().div_ceil(size).max(1);
        for (number, piece) in payload.chunks(size).enumerate() {
            let kind = if number == 0 { kind } else { CONTINUATION };
            let last = if number + 1 == count { 0x80 } else { 0 };
            self.send_frame(last | kind, piece).await;
        }
    }

    pub async fn ping(&mut self, payload: &[u8]) {
        self.send_frame(0x80 | PING, payload).await;
    }

    /// Sends a close frame and reads on until the connection ends; what the other side closes with.
    pub async fn close(mut self, code: u16, reason: &str) -> Close {
        self.send_close(code, reason).await;
        self.closed().await
    }

    pub async fn send_close(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.send_frame(0x80 | CLOSE, &payload).await;
    }

    /// Ends this half of the TCP connection without a close frame.
    pub fn end_writing(&self) {
        self.handle
            .shutdown(std::net::Shutdown::Write)
            .expect("it is open");
    }

    /// Is gone with a TCP reset.
    pub fn vanish(self) {
        let linger = Some(Duration::ZERO);
        self.handle
            .set_linger(linger)
            .expect("an option that sockets have");
    }

    /// The next message or control frame; pieces are put together.
    pub async fn receive(&mut self) -> Received {
        let mut message: Option<(u8, Vec<u8>)> = None;
        loop {
            let Some((first, payload)) = self.read_frame().await else {
                return Received::End;
            };
            self.search("a frame", &payload);
            assert_eq!(first & 0x70, 0, "reserved bits are set");
            let (kind, last) = (first & 0x0f, first & 0x80 != 0);
            match (kind, &mut message) {
                (PING, _) => return Received::Ping(payload),
                (PONG, _) => return Received::Pong(payload),
                (CLOSE, _) => return Received::Close(Close::of(&payload)),
                (TEXT | BINARY, None) => message = Some((kind, payload)),
                (CONTINUATION, Some((_, whole))) => whole.extend_from_slice(&payload),
                _ => panic!("a frame of kind {kind} where none belongs"),
            }
            if last {
                return match message.take().expect("one is under way") {
                    (TEXT, whole) => Received::Text(String::from_utf8(whole).expect("text in UTF-8")),
                    (_, whole) => Received::Bytes(whole),
                };
            }
        }
    }

    async fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((first, start, length)) = frame_head(&self.buffer)
                && self.buffer.len() >= start + length
            {
                let payload = self.buffer[start..start + length].to_vec();
                self.buffer.drain(..start + length);
                return Some((first, payload));
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// The next message, past pings, which are answered, and pongs.
    pub async fn message(&mut self) -> Received {
        loop {
            match self.receive().await {
                Received::Ping(payload) => self.send_frame(0x80 | PONG, &payload).await,
                Received::Pong(_) => {}
                other => return other,
            }
        }
    }

    /// The next message as JSON, in whatever kind of frame.
    pub async fn json(&mut self) -> Value {
        let message = self.message().await;
        let parsed = match &message {
            Received::Text(text) => serde_json::from_str(text).ok(),
            Received::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
            _ => None,
        };
        parsed.unwrap_or_else(|| panic!("JSON expected: {message:?}"))
    }

    /// The first message in JSON of which `holds`.
    pub async fn json_where(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.json().await;
            if holds(&message) {
                return message;
            }
        }
    }

    /// Reads on to the other side's close, answers it, and takes the connection's end.
    pub async fn closed(mut self) -> Close {
        loop {
            match self.message().await {
                Received::Close(close) => {
                    self.send_close(close.code.unwrap_or(1000), "").await;
                    while self.read_more().await {}
                    return close;
                }
                Received::End => panic!("the connection ended without a close"),
                _ => {}
            }
        }
    }

    /// Reads on to the connection's end; whether a close frame came before.
    pub async fn ended(mut self) -> Option<Close> {
        let mut close = None;
        loop {
            match self.receive().await {
                Received::Close(found) => close = Some(found),
                Received::End => return close,
                _ => {}
            }
        }
    }
}

impl Close {
    fn of(payload: &[u8]) -> Self {
        match payload {
            [] => Self {
                code: None,
                reason: String::new(),
            },
            [high, low, reason @ ..] => Self {
                code: Some(u16::from_be_bytes([*high, *low])),
                reason: String::from_utf8(reason.to_vec()).expect("a reason in UTF-8"),
            },
            [_] => panic!("half a close code"),
        }
    }

    #[track_caller]
    pub fn is(&self, code: u16, reason: &str) {
        assert_eq!((self.code, self.reason.as_str()), (Some(code), reason));
    }
}

/// A frame as callers must send it, masked; the mask is the same each time, so that runs are alike.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// The first byte of a frame, where its payload begins, and how long that is. A server's frames are not masked.
fn frame_head(buffer: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, second) = (*buffer.first()?, *buffer.get(1)?);
    assert_eq!(second & 0x80, 0, "a server's frame is masked");
    match second {
        126 => {
            let length = buffer.get(2..4)?.try_into().expect("two bytes");
            Some((first, 4, usize::from(u16::from_be_bytes(length))))
        }
        127 => {
            let length = buffer.get(2..10)?.try_into().expect("eight bytes");
            Some((first, 10, u64::from_be_bytes(length) as usize))
        }
        length => Some((first, 2, usize::from(length))),
    }
}

/// Sound out of a message's base64.
pub fn sound(base64: &Value) -> Vec<u8> {
    STANDARD
        .decode(base64.as_str().expect("sound"))
        .expect("sound in base64")
}
