//! How a provider behaves towards one key, beyond answering well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::Notify;

use super::sockets::Conduct;

#[derive(Clone, Debug, Default)]
pub enum Behaviour {
    #[default]
    Normal,
    /// Answers every call with this, once the request has been read.
    Refuse(Canned),
    /// Sends this many pieces of audio, this far apart.
    Stream { pieces: usize, pause: Duration },
    /// Takes the request and never answers.
    StallBeforeHead,
    /// Sends the head and this many bytes, then nothing.
    StallAfter(usize),
    /// Sends the head and this many bytes, then breaks the connection.
    CutAfter(usize),
    /// Breaks the connection as soon as the request has been read.
    CutBeforeHead,
    /// Answers with this before the request's body has been read.
    AnswerEarly(Canned),
    /// Points elsewhere with a 307.
    Redirect(String),
    /// Answers well, and adds these headers.
    AddHeaders(Vec<(&'static str, String)>),
    /// Answers audio of this many bytes.
    Large(u64),
    /// Behaves so towards one call, and well afterwards.
    Once(Box<Behaviour>),
    /// Answers well, but holds back what comes after this many bytes until the gate opens.
    HoldAfter { bytes: usize, gate: Gate },
    /// Answers well up to this many bytes, then breaks the connection.
    BreakAfter(usize),
    /// Answers 200 with this type and body, whatever was asked.
    Instead { content_type: &'static str, body: Bytes },
    /// Takes WebSockets and behaves so on each; answers other calls well.
    Socket(Conduct),
}

impl Behaviour {
    pub fn once(self) -> Self {
        Self::Once(Box::new(self))
    }
}

/// Opened by the test when the provider is to go on.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Notify>);

impl Gate {
    pub fn open(&self) {
        self.0.notify_one();
    }

    pub async fn opened(&self) {
        self.0.notified().await;
    }
}

/// An answer as the provider gives it, whatever was asked.
#[derive(Clone, Debug)]
pub struct Canned {
    pub status: StatusCode,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Canned {
    pub fn json(status: u16, body: serde_json::Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    pub fn text(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).expect("a status written by hand");
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
        }
    }

    /// What a content delivery network says in front of the provider: nothing that JSON readers like.
    pub fn html(status: u16) -> Self {
        Self::text(
            status,
            "text/html",
            "<!doctype html><title>Error</title><h1>invalid_api_key? Not from us.</h1>",
        )
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}
