//! Calls of `/v1`, and the world that they are made in: providers that speak, listen and check every body.

use std::path::Path;

use bytes::Bytes;
use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use toml::Table;

use super::{Answer, Database, User, World, calls};
use crate::fakes::voice::{self, Form};
use crate::fakes::{Fakes, azure, elevenlabs, gemini};

/// A sentence whose words the ear knows.
pub const WORDS: &str = "One two three four five.";
pub const HEARD: &str = "one two three four five";

/// What one provider is asked with.
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    pub id: &'static str,
    pub speaks_with: &'static str,
    pub voice: &'static str,
    pub listens_with: &'static str,
}

pub const ELEVENLABS: Provider = Provider {
    id: "elevenlabs",
    speaks_with: "eleven_multilingual_v2",
    voice: elevenlabs::VOICE,
    listens_with: "scribe_v2",
};
pub const AZURE: Provider = Provider {
    id: "azure",
    speaks_with: "neural",
    voice: azure::VOICE,
    listens_with: "fast-transcription",
};
pub const GEMINI: Provider = Provider {
    id: "gemini",
    speaks_with: gemini::TTS,
    voice: "Kore",
    listens_with: gemini::STT,
};
pub const PROVIDERS: [Provider; 3] = [ELEVENLABS, AZURE, GEMINI];

impl Provider {
    /// `provider/model` for speech.
    pub fn speech_model(self) -> String {
        format!("{}/{}", self.id, self.speaks_with)
    }

    /// `provider/model` for transcription.
    pub fn transcript_model(self) -> String {
        format!("{}/{}", self.id, self.listens_with)
    }

    /// A request for speech by this very provider.
    pub fn speech(self, format: &str) -> Value {
        json!({"model": self.speech_model(), "voice": self.voice, "input": WORDS, "response_format": format})
    }

    /// As a selection of text to speech, alone or as a fallback.
    pub fn speaking(self) -> Value {
        json!({"provider": self.id, "model": self.speaks_with, "voice": self.voice})
    }

    pub fn listening(self) -> Value {
        json!({"provider": self.id, "model": self.listens_with, "voice": null})
    }
}

/// A request for speech by whatever is selected.
pub fn default_speech() -> Value {
    json!({"model": "default", "voice": "default", "input": WORDS})
}

/// The sentence in a WAV file.
pub async fn recording() -> Bytes {
    voice::speak(WORDS, 1.0, Form::Wav.at(16_000)).await
}

impl World {
    pub async fn unified() -> Self {
        Self::unified_with(|_, _| {}).await
    }

    pub async fn unified_with(change: impl FnOnce(&mut Table, &Path)) -> Self {
        Self::with_fakes(Database::Sqlite, Fakes::strict().await, change).await
    }

    /// A user with a key at each of the three providers.
    pub async fn equipped_user(&self, name: &str) -> User {
        let user = self.user(name).await;
        for provider in PROVIDERS {
            self.stored_key(&user, provider.id).await;
        }
        user
    }

    pub fn speech(&self, user: &User, body: &Value) -> RequestBuilder {
        let request = self.http.post(self.gateway("/v1/audio/speech"));
        request.bearer_auth(&user.token).json(body)
    }

    pub async fn speak(&self, user: &User, body: &Value) -> Answer {
        self.send(self.speech(user, body)).await
    }

    /// A form with these fields, the file where `("file", "")` stands.
    pub fn form(&self, user: &User, task: &str, fields: &[(&str, &str)], recording: &[u8]) -> RequestBuilder {
        let parts: Vec<(&str, Option<&str>, &[u8])> = fields
            .iter()
            .map(|(name, value)| match *name {
                "file" => (*name, Some("audio/wav"), recording),
                _ => (*name, None, value.as_bytes()),
            })
            .collect();
        let request = self.http.post(self.gateway(&format!("/v1/audio/{task}")));
        request
            .bearer_auth(&user.token)
            .header("content-type", calls::multipart_type())
            .body(calls::multipart(&parts))
    }

    /// Transcribes the sentence; the model comes first and the file last, as SDKs send them.
    pub async fn transcribe(&self, user: &User, model: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = [&[("model", model)], fields, &[("file", "")]].concat();
        self.send(self.form(user, "transcriptions", &fields, &recording().await))
            .await
    }

    /// Makes a selection, `operation` being `tts` or `stt`.
    pub async fn select(&self, user: &User, operation: &str, first: Value, fallbacks: &[Value]) {
        let mut selection = first;
        selection["fallbacks"] = json!(fallbacks);
        let path = format!("/api/v1/selections/{operation}");
        self.ask_admin(user, Method::PUT, &path, Some(selection))
            .await
            .succeeded();
    }
}
