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
