//! Answers as a caller receives them, whole or piece by piece.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version};
use serde_json::Value;

use super::Planted;

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When each piece of the body came.
    pub arrivals: Vec<SystemTime>,
    /// The body ended before it should have.
    pub broken: bool,
}

impl Answer {
    /// Reads an answer to its end and searches it for what must not be in it.
    pub async fn read(mut response: reqwest::Response, planted: &Planted) -> Self {
        let (status, version) = (response.status(), response.version());
        let headers = response.headers().clone();
        let mut body = BytesMut::new();
        let mut arrivals = Vec::new();
        let broken = loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    arrivals.push(SystemTime::now());
                    body.extend_from_slice(&piece);
                }
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        let answer = Self {
            status,
            version,
            headers,
            body: body.freeze(),
            arrivals,
            broken,
        };
        planted.search("an answer's head", answer.head().as_bytes());
        planted.search("an answer's body", &answer.body);
        answer
    }

    fn head(&self) -> String {
        let lines = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The code in which Voxgate names what went wrong.
    pub fn code(&self) -> Option<&str> {
        self.header("x-voxgate-error")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("JSON expected: {} {}", self.status, self.text()))
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(
            self.status.is_success() && !self.broken,
            "{} {}\n{}",
            self.status,
            self.head(),
            self.text()
        );
        self
    }

    /// Checks a failure that Voxgate reports or recognises.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let got = (self.status.as_u16(), self.code());
        assert_eq!(got, (status, Some(code)), "{}\n{}", self.head(), self.text());
        self.named()
    }

    /// Checks an error of the admin API, whose body names the code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}\n{}", self.head(), self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.json()["code"], code, "{}", self.text());
        self.named()
    }

    /// Every answer of Voxgate has an id of its own.
    #[track_caller]
    pub fn named(self) -> Self {
        let id = self
            .header("x-voxgate-request-id")
            .expect("every answer names its request");
        assert!(uuid::Uuid::parse_str(id).is_ok(), "a request id is a UUID: {id}");
        self
    }
}
