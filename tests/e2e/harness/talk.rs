//! What is said on each provider's WebSockets, as its documents have it, and the sockets to say it on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::dial::Dial;
use super::socket::{Received, Socket, sound};
use super::{User, World};
use crate::fakes::elevenlabs;

/// Paths below the providers' hosts.
pub const GEMINI_LIVE: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
pub const AZURE_SPEECH: &str = "/tts/cognitiveservices/websocket/v1";
pub const AZURE_RECOGNITION: &str = "/stt/speech/universal/v2";
pub const REALTIME: &str = "/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&audio_format=pcm_16000";

pub fn speech_path(kind: &str, query: &str) -> String {
    format!("/v1/text-to-speech/{}/{kind}?{query}", elevenlabs::VOICE)
}

/// Speech that is heard as samples at 24 kHz.
pub fn speech() -> String {
    speech_path(
        "stream-input",
        "model_id=eleven_flash_v2_5&output_format=pcm_24000",
    )
}

/// The first message of ElevenLabs' sockets for one voice.
pub fn blank() -> Value {
    json!({"text": " ", "voice_settings": {"speed": 1.0}})
}

pub fn text(text: &str) -> Value {
    json!({ "text": text })
}

/// The same with a field that holds a credential.
pub fn with(mut message: Value, field: &str, value: &str) -> Value {
    message[field] = json!(value);
    message
}

pub fn chunk(samples: &[u8], commit: bool) -> Value {
    json!({
        "message_type": "input_audio_chunk", "audio_base_64": STANDARD.encode(samples), "commit": commit,
        "sample_rate": 16_000,
    })
}

pub fn gemini_setup(model: &str) -> Value {
    json!({"setup": {
        "model": format!("models/{model}"), "generationConfig": {"responseModalities": ["AUDIO"]},
        "outputAudioTranscription": {},
    }})
}

pub fn gemini_turn(text: &str) -> Value {
    let turn = json!({"role": "user", "parts": [{ "text": text }]});
    json!({"clientContent": {"turns": [turn], "turnComplete": true}})
}

const REQUEST: &str = "0123456789abcdef0123456789abcdef";

/// A text message of Azure's speech protocol.
pub fn usp(path: &str, kind: &str, body: &str) -> String {
    format!(
        "Path: {path}\r\nX-RequestId: {REQUEST}\r\nX-Timestamp: 2026-11-22T10:00:00.000Z\r\nContent-Type: {kind}\r\n\r\n{body}"
    )
}

pub fn usp_json(path: &str, body: &Value) -> String {
    usp(path, "application/json", &body.to_string())
}

/// Sound for Azure in a binary message.
pub fn usp_audio(sound: &[u8]) -> Vec<u8> {
    let head = format!("Path: audio\r\nX-RequestId: {REQUEST}\r\nX-Timestamp: 2026-11-22T10:00:00.000Z\r\n");
    let length = (head.len() as u16).to_be_bytes();
    [&length, head.as_bytes(), sound].concat()
}

pub fn usp_config() -> String {
    let system =
        json!({"name": "SpeechSDK", "version": "1.52.0", "build": "JavaScript", "lang": "JavaScript"});
    let os = json!({"platform": "Linux", "name": "Node", "version": "24"});
    usp_json("speech.config", &json!({"context": {"system": system, "os": os}}))
}

pub fn usp_synthesis() -> String {
    let audio =
        json!({"metadataOptions": {"wordBoundaryEnabled": true}, "outputFormat": "raw-24khz-16bit-mono-pcm"});
    usp_json("synthesis.context", &json!({"synthesis": {"audio": audio}}))
}

pub fn usp_ssml(words: &str) -> String {
    let voice = crate::fakes::azure::VOICE;
    let ssml = format!(
        "<speak version='1.0' xmlns='http://www.w3.org/2001/10/synthesis' xml:lang='en-US'><voice name='{voice}'>{words}\
         </voice></speak>"
    );
    usp("ssml", "application/ssml+xml", &ssml)
}

impl Socket {
    /// ElevenLabs' speech up to the last message: the sound of all pieces.
    pub async fn speech(&mut self) -> Vec<u8> {
        let mut samples = Vec::new();
        loop {
            let piece = self.json().await;
            if piece["isFinal"] == true {
                return samples;
            }
            samples.extend_from_slice(&sound(&piece["audio"]));
        }
    }

    /// Azure's next message: its path, and what follows the headers.
    pub async fn usp(&mut self) -> (String, Vec<u8>) {
        let (head, body) = match self.message().await {
            Received::Text(text) => {
                let (head, body) = text.split_once("\r\n\r\n").expect("headers and a body");
                (head.to_owned(), body.as_bytes().to_vec())
            }
            Received::Bytes(bytes) => {
                let end = 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
                let head = String::from_utf8(bytes[2..end].to_vec()).expect("headers in UTF-8");
                (head, bytes[end..].to_vec())
            }
            other => panic!("a message expected: {other:?}"),
        };
        let path = head.lines().find_map(|line| line.strip_prefix("Path:"));
        (path.expect("a path").trim().to_owned(), body)
    }

    /// Azure's messages up to the end of its turn.
    pub async fn turn(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut messages = Vec::new();
        loop {
            let message = self.usp().await;
            let last = message.0 == "turn.end";
            messages.push(message);
            if last {
                return messages;
            }
        }
    }

    /// One turn of Gemini's: its sound.
    pub async fn gemini_sound(&mut self) -> Vec<u8> {
        let mut samples = Vec::new();
        loop {
            let message = self.json().await;
            let content = &message["serverContent"];
            if content["turnComplete"] == true {
                return samples;
            }
            if let Some(part) = content["modelTurn"]["parts"].get(0) {
                samples.extend_from_slice(&sound(&part["inlineData"]["data"]));
            }
        }
    }
}

impl World {
    /// A handshake with the gateway, without a token yet.
    pub fn dial(&self, path: &str) -> Dial {
        Dial::to(&self.gateway(path)).searched(&self.planted)
    }

    /// The same with the user's token where the provider takes its key.
    pub fn dial_as(&self, user: &User, provider: &str, path: &str) -> Dial {
        let header = self.fakes.of(provider)[0].kind.key_header();
        self.dial(&format!("/{provider}{path}"))
            .header(header, &user.token)
    }
}

/// A world whose providers converse, with a gateway of these settings.
pub async fn world(settings: &[(&str, toml::Value)]) -> World {
    World::unified_with(|config, _| {
        for (name, value) in settings {
            super::config::set(config, &format!("gateway.{name}"), value.clone());
        }
    })
    .await
}

/// What a WebSocket's record says of its end.
#[track_caller]
pub fn assert_ended(record: &Value, code: impl Into<Option<u16>>, by: &str, outcome: &str) {
    let found = (&record["close_code"], &record["closed_by"], &record["outcome"]);
    assert_eq!(
        found,
        (&json!(code.into()), &json!(by), &json!(outcome)),
        "{record:#}"
    );
    assert_eq!(record["status"], 101, "{record:#}");
}
