//! How a provider behaves towards one key, beyond answering well.

use std::time::Duration;

use http::StatusCode;

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
