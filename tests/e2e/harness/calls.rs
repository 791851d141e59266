//! Calls as a provider documents them, to be made directly or through the gateway.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::RequestBuilder;
use serde_json::json;

use super::{Answer, User, World};
use crate::fakes::{Fake, audio, azure, elevenlabs, gemini};

const BOUNDARY: &str = "a-boundary-of-the-tests";

/// One call to one host.
pub struct Native {
    pub provider: &'static str,
    pub host: Host,
    pub method: Method,
    /// With the query, below the provider's host.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

#[derive(Clone, Copy, Debug)]
pub enum Host {
    Only,
    Api,
    Tts,
    Stt,
}

impl Native {
    fn new(provider: &'static str, method: Method, path: impl Into<String>) -> Self {
        let (headers, body) = (Vec::new(), Bytes::new());
        Self {
            provider,
            host: Host::Only,
            method,
            path: path.into(),
            headers,
            body,
        }
    }

    fn get(provider: &'static str, path: &str) -> Self {
        Self::new(provider, Method::GET, path)
    }

    fn post(
        provider: &'static str,
        path: impl Into<String>,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self {
            headers,
            body: body.into(),
            ..Self::new(provider, Method::POST, path)
        }
    }

    fn at(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn fake<'a>(&self, world: &'a World) -> &'a Arc<Fake> {
        match (self.provider, self.host) {
            ("elevenlabs", _) => &world.fakes.elevenlabs,
            ("gemini", _) => &world.fakes.gemini,
            (_, Host::Api | Host::Only) => &world.fakes.azure_api,
            (_, Host::Tts) => &world.fakes.azure_tts,
            (_, Host::Stt) => &world.fakes.azure_stt,
        }
    }

    /// To any address, without a credential.
    pub fn to(&self, world: &World, url: String) -> RequestBuilder {
        let mut request = world.http.request(self.method.clone(), url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if self.method == Method::POST {
            request.body(self.body.clone())
        } else {
            request
        }
    }

    /// To the gateway, without a token yet.
    pub fn unsigned(&self, world: &World) -> RequestBuilder {
        self.to(world, world.gateway(&format!("/{}{}", self.provider, self.path)))
    }

    /// To the gateway, with the token where the provider's SDK puts its key.
    pub fn signed(&self, world: &World, user: &User) -> RequestBuilder {
        self.unsigned(world)
            .header(self.fake(world).kind.key_header(), &user.token)
    }

    pub async fn through(&self, world: &World, user: &User) -> Answer {
        world.send(self.signed(world, user)).await
    }

    /// Straight to the provider.
    pub async fn direct(&self, world: &World, key: &str) -> Answer {
        let fake = self.fake(world);
        let request = self.to(world, format!("{}{}", fake.url, self.path));
        let response = request
            .header(fake.kind.key_header(), key)
            .send()
            .await
            .expect("the provider's answer");
        // What the provider itself answers to whoever holds the key is no leak.
        Answer::read(response, &Default::default()).await
    }
}

/// Asserts that two answers are one and the same to a caller.
#[track_caller]
pub fn assert_same(through: &Answer, direct: &Answer) {
    assert_eq!(through.status, direct.status, "{}", through.text());
    assert_eq!(through.body, direct.body);
    assert_eq!(own_headers(&through.headers), own_headers(&direct.headers));
}

/// What the provider said in headers, without framing, time of day and the gateway's additions.
fn own_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    const NOT_OWN: &[&str] = &[
        "date",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "server",
        "via",
    ];
    let mut own: Vec<(String, String)> = headers
        .iter()
        .filter(|(name, _)| !NOT_OWN.contains(&name.as_str()) && !name.as_str().starts_with("x-voxgate-"))
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    own.sort();
    own
}

pub fn elevenlabs_tts(text: &str) -> Native {
    let body = json!({"text": text, "model_id": "eleven_multilingual_v2", "voice_settings": {"speed": 1.1}});
    Native::post(
        "elevenlabs",
        format!("/v1/text-to-speech/{}", elevenlabs::VOICE),
        "application/json",
        body.to_string(),
    )
}

pub fn elevenlabs_stream(text: &str) -> Native {
    let path = format!(
        "/v1/text-to-speech/{}/stream?output_format=pcm_24000",
        elevenlabs::VOICE
    );
    let body = json!({"text": text, "model_id": "eleven_flash_v2_5"});
    Native::post("elevenlabs", path, "application/json", body.to_string())
}

pub fn elevenlabs_timed(text: &str) -> Native {
    let path = format!("/v1/text-to-speech/{}/with-timestamps", elevenlabs::VOICE);
    Native::post(
        "elevenlabs",
        path,
        "application/json",
        json!({ "text": text }).to_string(),
    )
}

pub fn elevenlabs_stt(recording: &[u8]) -> Native {
    let body = multipart(&[
        ("model_id", None, b"scribe_v2"),
        ("file", Some("audio/wav"), recording),
    ]);
    Native::post("elevenlabs", "/v1/speech-to-text", &multipart_type(), body)
}

pub fn elevenlabs_models() -> Native {
    Native::get("elevenlabs", "/v1/models")
}

pub fn azure_tts(text: &str) -> Native {
    let ssml = format!(
        "<speak version='1.0' xml:lang='en-US'><voice xml:lang='en-US' name='{}'>{text}</voice></speak>",
        azure::VOICE
    );
    Native::post("azure", "/cognitiveservices/v1", "application/ssml+xml", ssml)
        .header("x-microsoft-outputformat", azure::FORMAT)
        .header("user-agent", "voxgate-tests")
        .at(Host::Tts)
}

pub fn azure_voices() -> Native {
    Native::get("azure", "/cognitiveservices/voices/list").at(Host::Tts)
}

pub fn azure_short_audio(recording: &[u8]) -> Native {
    let path = "/speech/recognition/conversation/cognitiveservices/v1?language=en-US&format=detailed";
    let content_type = "audio/wav; codecs=audio/pcm; samplerate=16000";
    Native::post("azure", path, content_type, recording.to_vec()).at(Host::Stt)
}

pub fn azure_transcription(recording: &[u8]) -> Native {
    let definition = json!({"locales": ["en-US"]}).to_string();
    let body = multipart(&[
        ("definition", None, definition.as_bytes()),
        ("audio", Some("audio/wav"), recording),
    ]);
    Native::post(
        "azure",
        "/speechtotext/transcriptions:transcribe?api-version=2025-10-15",
        &multipart_type(),
        body,
    )
    .at(Host::Api)
}

pub fn azure_locales() -> Native {
    Native::get(
        "azure",
        "/speechtotext/transcriptions/locales?api-version=2025-10-15",
    )
    .at(Host::Api)
}

pub fn gemini_tts(text: &str) -> Native {
    gemini_speech(text, "generateContent")
}

pub fn gemini_stream(text: &str) -> Native {
    gemini_speech(text, "streamGenerateContent?alt=sse")
}

fn gemini_speech(text: &str, call: &str) -> Native {
    let body = json!({
        "contents": [{"parts": [{"text": text}]}],
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}},
        },
    });
    Native::post(
        "gemini",
        format!("/v1beta/models/{}:{call}", gemini::TTS),
        "application/json",
        body.to_string(),
    )
}

pub fn gemini_stt(recording: &[u8]) -> Native {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode(recording);
    let body = json!({"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": data}}]}]});
    let path = format!("/v1beta/models/{}:generateContent", gemini::STT);
    Native::post("gemini", path, "application/json", body.to_string())
}

pub fn gemini_models() -> Native {
    Native::get("gemini", "/v1beta/models?pageSize=50")
}

/// Every kind of call that the three providers offer.
pub fn all() -> Vec<Native> {
    let recording = audio::recording("all", 9_000);
    vec![
        elevenlabs_tts("Grüße, 你好 \u{1f44b}"),
        elevenlabs_stream("a stream of words"),
        elevenlabs_timed("timed words"),
        elevenlabs_stt(&recording),
        elevenlabs_models(),
        Native::get("elevenlabs", "/v2/voices?page_size=10&search=a%20b%2Fc"),
        Native::get("elevenlabs", "/v1/voices"),
        Native::get("elevenlabs", &format!("/v1/voices/{}", elevenlabs::VOICE)),
        Native::get("elevenlabs", "/v1/user/subscription"),
        azure_tts("Tea &amp; biscuits, 你好."),
        azure_voices(),
        azure_short_audio(&recording),
        azure_transcription(&recording),
        azure_locales(),
        gemini_tts("Say it plainly"),
        gemini_stream("Say it piece by piece"),
        gemini_stt(&recording),
        gemini_models(),
        Native::get("gemini", &format!("/v1/models/{}", gemini::TTS)),
        Native::post(
            "gemini",
            format!("/v1beta/models/{}:countTokens", gemini::TTS),
            "application/json",
            json!({"contents": [{"parts": [{"text": "count me"}]}]}).to_string(),
        ),
    ]
}

/// One speech call of each provider.
pub fn speech_of_each() -> Vec<Native> {
    vec![
        elevenlabs_tts("one of each"),
        azure_tts("one of each"),
        gemini_tts("one of each"),
    ]
}

pub fn multipart_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// A multipart body of (name, type if it is a file, content).
pub fn multipart(parts: &[(&str, Option<&str>, &[u8])]) -> Bytes {
    let mut body = Vec::new();
    for (name, file_type, content) in parts {
        let head = match file_type {
            None => format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n"),
            Some(kind) => format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}.wav\"\r\n\
                 Content-Type: {kind}\r\n\r\n"
            ),
        };
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body.into()
}

/// Whether the first piece was received before the last was sent.
pub fn assert_streamed(through: &Answer, sent: &[std::time::SystemTime]) {
    assert_eq!(through.status, StatusCode::OK);
    let (first, last_sent) = (
        through.arrivals.first().expect("a piece"),
        sent.last().expect("a piece sent"),
    );
    assert!(
        first < last_sent,
        "the first piece came only after the last was sent"
    );
}
