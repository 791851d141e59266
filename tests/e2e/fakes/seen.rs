//! What a fake provider saw of each request, and how far its answer got.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};

#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub raw_query: Option<String>,
    pub version: Version,
    pub headers: HeaderMap,
    /// Bytes of the body so far.
    pub received: u64,
    /// Of the whole body, in hex, once it has arrived.
    pub sha256: Option<String>,
    /// The body, unless it is too large to keep.
    pub body: Bytes,
    /// The words that the provider spoke, taken out of whatever carried them.
    pub said: Option<String>,
    /// When each piece of the answer was handed to the socket.
    pub sent: Vec<SystemTime>,
    pub ending: Ending,
    /// What passed after the upgrade, if there was one.
    pub socket: Option<SocketSeen>,
}

/// How the exchange ended, seen from the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Open,
    /// The last byte of the answer was taken.
    Complete,
    /// The other side left, during the request or the answer.
    Abandoned,
    /// The fake broke the connection on purpose.
    Cut,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A WebSocket from the provider's side.
#[derive(Clone, Debug, Default)]
pub struct SocketSeen {
    /// The caller's messages, the first few thousand of them.
    pub messages: Vec<Spoken>,
    /// How many messages the caller sent, and the provider.
    pub heard: u64,
    pub said: u64,
    pub pings: Vec<Vec<u8>>,
    pub pongs: Vec<Vec<u8>>,
    /// The words that were spoken for the caller, piece by piece.
    pub spoken: Vec<String>,
    /// The words that were made out in the caller's audio, phrase by phrase.
    pub made_out: Vec<String>,
    /// How much sound the caller sent, whether or not it was listened to.
    pub audio_seconds: f64,
    /// The close frame that came first.
    pub closed: Option<Closed>,
}

/// One message of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    Text(String),
    Bytes(Bytes),
}

impl Spoken {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// A close frame may come without one.
    pub code: Option<u16>,
    pub reason: String,
    pub by: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Provider,
}
