//! One WebSocket as a provider holds it: keeps what passes, searches it for tokens, and misbehaves as it is told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::conduct::{Act, Conduct};
use crate::fakes::seen::{Closed, Side, SocketSeen, Spoken};
use crate::fakes::server::Wire;
use crate::fakes::{Call, Ending, hygiene};

/// The other side has this long to answer a close frame.
const CLOSING: Duration = Duration::from_secs(5);
/// The most messages that are kept of one socket.
const KEPT: usize = 2_000;

pub struct Link {
    call: Call,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    wire: Arc<Wire>,
    conduct: Option<Conduct>,
    pace: Duration,
    received: usize,
}

/// The conversation is over, whoever ended it.
#[derive(Debug)]
pub struct Over;

impl Link {
    pub fn new(
        call: Call,
        socket: WebSocketStream<TokioIo<Upgraded>>,
        wire: Arc<Wire>,
        conduct: Option<Conduct>,
    ) -> Self {
        Self {
            call,
            socket,
            wire,
            conduct,
            pace: Duration::ZERO,
            received: 0,
        }
    }

    /// Does what is due before the caller's first message.
    pub async fn begin(&mut self) -> Result<(), Over> {
        self.act_if_due().await
    }

    /// The caller's next message.
    pub async fn hear(&mut self) -> Result<Spoken, Over> {
        let spoken = self.next().await?;
        self.received += 1;
        self.act_if_due().await?;
        Ok(spoken)
    }

    /// The same, or `None` when nothing comes for so long.
    pub async fn hear_within(&mut self, limit: Duration) -> Result<Option<Spoken>, Over> {
        match tokio::time::timeout(limit, self.hear()).await {
            Ok(heard) => heard.map(Some),
            Err(_) => Ok(None),
        }
    }

    pub async fn say(&mut self, text: impl Into<String>) -> Result<(), Over> {
        self.send(Message::text(text.into())).await
    }

    pub async fn say_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(), Over> {
        self.send(Message::binary(bytes.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Over> {
        if !self.pace.is_zero() {
            tokio::time::sleep(self.pace).await;
        }
        if self.socket.send(message).await.is_err() {
            self.call.settle(Ending::Abandoned);
            return Err(Over);
        }
        self.note(|socket| socket.said += 1);
        self.call.sent();
        Ok(())
    }

    /// Closes and waits for the caller's half of it.
    pub async fn close(&mut self, code: u16, reason: &str) -> Over {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        self.note(|socket| {
            let by = Side::Provider;
            let reason = reason.to_owned();
            socket.closed.get_or_insert(Closed {
                code: Some(code),
                reason,
                by,
            });
        });
        let closing = async {
            self.socket.send(Message::Close(Some(frame))).await.ok()?;
            while self.next().await.is_ok() {}
            Some(())
        };
        let answered = tokio::time::timeout(CLOSING, closing).await;
        if !matches!(answered, Ok(Some(()))) {
            self.call.settle(Ending::Abandoned);
        }
        Over
    }

    /// What this provider's documents do not allow; it is complained of, and the socket closed as the provider does.
    pub async fn object(&mut self, code: u16, what: &str) -> Over {
        self.call.violation(what);
        self.close(code, &shortened(what)).await
    }

    pub fn violation(&self, what: impl std::fmt::Display) {
        self.call.violation(what);
    }

    pub fn call(&self) -> &Call {
        &self.call
    }

    pub fn note(&self, change: impl FnOnce(&mut SocketSeen)) {
        self.call
            .note(|seen| change(seen.socket.as_mut().expect("set at the upgrade")));
    }

    /// The next message; pings are answered and closes taken to their end in here.
    async fn next(&mut self) -> Result<Spoken, Over> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(self.keep(Spoken::Text(text.as_str().to_owned())));
                }
                Some(Ok(Message::Binary(bytes))) => return Ok(self.keep(Spoken::Bytes(bytes))),
                Some(Ok(Message::Ping(payload))) => {
                    self.search("a ping", &payload);
                    self.note(|socket| socket.pings.push(payload.to_vec()));
                }
                Some(Ok(Message::Pong(payload))) => {
                    self.search("a pong", &payload);
                    self.note(|socket| socket.pongs.push(payload.to_vec()));
                }
                Some(Ok(Message::Close(frame))) => {
                    self.note_close(frame);
                    // Reading on sends our half and takes the end of the connection.
                    while let Some(Ok(_)) = self.socket.next().await {}
                    self.call.settle(Ending::Complete);
                    return Err(Over);
                }
                Some(Ok(Message::Frame(_))) => unreachable!("never given out when reading"),
                Some(Err(_)) | None => {
                    self.call.settle(Ending::Abandoned);
                    return Err(Over);
                }
            }
        }
    }

    fn note_close(&self, frame: Option<CloseFrame>) {
        let (code, reason) = match &frame {
            Some(frame) => (Some(u16::from(frame.code)), frame.reason.as_str().to_owned()),
            None => (None, String::new()),
        };
        self.search("a close reason", reason.as_bytes());
        self.note(|socket| {
            let by = Side::Caller;
            socket.closed.get_or_insert(Closed { code, reason, by });
        });
    }

    fn keep(&self, spoken: Spoken) -> Spoken {
        self.search("a message", spoken.bytes());
        self.note(|socket| {
            socket.heard += 1;
            if socket.messages.len() < KEPT {
                socket.messages.push(spoken.clone());
            }
        });
        spoken
    }

    fn search(&self, place: &str, bytes: &[u8]) {
        if hygiene::holds_token(bytes) {
            self.call.violation(format!("a token arrived in {place}"));
        }
    }

    async fn act_if_due(&mut self) -> Result<(), Over> {
        let due = |conduct: &&mut Conduct| conduct.after <= self.received;
        if self.conduct.as_mut().filter(due).is_none() {
            return Ok(());
        }
        match self.conduct.take().expect("it is due").act {
            Act::Converse { pace } => self.pace = pace,
            Act::Close { code, reason } => return Err(self.close(code, &reason).await),
            Act::Say { messages, then } => {
                for message in messages {
                    self.say(message).await?;
                }
                if let Some((code, reason)) = then {
                    return Err(self.close(code, &reason).await);
                }
            }
            Act::FallSilent => {
                while self.next().await.is_ok() {}
                return Err(Over);
            }
            Act::StopReading => std::future::pending().await,
            Act::Vanish => {
                self.wire.reset_on_close();
                self.call.settle(Ending::Cut);
                return Err(Over);
            }
            Act::HalfClose => {
                self.wire.end_writing();
                while self.next().await.is_ok() {}
                return Err(Over);
            }
            Act::Ping(payload) => {
                let ping = Message::Ping(payload.into());
                if self.socket.send(ping).await.is_err() {
                    return Err(Over);
                }
            }
            Act::Echo => loop {
                match self.next().await? {
                    Spoken::Text(text) => self.say(text).await?,
                    Spoken::Bytes(bytes) => self.say_bytes(bytes).await?,
                }
            },
        }
        Ok(())
    }
}

/// A close frame holds 123 bytes of reason.
fn shortened(what: &str) -> String {
    let mut end = what.len().min(120);
    while !what.is_char_boundary(end) {
        end -= 1;
    }
    what[..end].to_owned()
}
