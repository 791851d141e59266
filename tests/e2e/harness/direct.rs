//! A strict fake asked directly, without a gateway between.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use super::calls;
use crate::fakes::{Behaviour, Fake, Kind};

/// What every such fake takes for a key.
pub const KEY: &str = "the-one-right-key";

/// A fake and a client of it.
pub struct Direct {
    pub fake: Arc<Fake>,
    client: Client,
}

impl Direct {
    pub async fn to(kind: Kind) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let fake = Fake::start_strict(kind).await;
        fake.treat(KEY, Behaviour::Normal);
        let client = Client::builder().build().expect("a client");
        Self { fake, client }
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        let key = format!("{}{KEY}", self.fake.kind.key_scheme());
        let request = self.client.post(format!("{}{path}", self.fake.url));
        request.header(self.fake.kind.key_header(), key)
    }

    pub fn form(&self, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> RequestBuilder {
        let request = self.post(path).header("content-type", calls::multipart_type());
        request.body(calls::multipart(parts))
    }

    /// Sends what the provider is to take without complaint.
    pub async fn taken(&self, request: RequestBuilder) -> Bytes {
        let answer = request.send().await.expect("an answer");
        let (status, body) = (answer.status(), answer.bytes().await.expect("a whole answer"));
        assert!(status.is_success(), "{status} {}", String::from_utf8_lossy(&body));
        assert!(self.fake.complaints().is_empty(), "{:?}", self.fake.complaints());
        body
    }

    pub async fn transcript(&self, request: RequestBuilder) -> Value {
        serde_json::from_slice(&self.taken(request).await).expect("a transcript in JSON")
    }

    /// Sends what the provider is to refuse, and says whether it complained besides.
    pub async fn refused(&self, request: RequestBuilder) -> (u16, bool) {
        let before = self.fake.complaints().len();
        let status = request.send().await.expect("an answer").status();
        assert!(!status.is_success(), "it was to be refused");
        (status.as_u16(), self.fake.complaints().len() > before)
    }
}
