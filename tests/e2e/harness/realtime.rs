//! The scripts of SDKs that hold conversations over WebSockets, and what each must have given: sound that plays and says
//! the words, and words that were made out of sound.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::sdk::Script;
use super::sound;
use super::unified::{HEARD, WORDS};
use crate::fakes::audio;
use crate::fakes::voice::{self, Form};

pub const ELEVENLABS_PYTHON: Script = Script("elevenlabs_realtime.py");
pub const ELEVENLABS_JAVASCRIPT: Script = Script("elevenlabs_realtime.mjs");
pub const AZURE_PYTHON: Script = Script("azure_realtime.py");
pub const AZURE_JAVASCRIPT: Script = Script("azure_realtime.mjs");
pub const GEMINI_PYTHON: Script = Script("gemini_realtime.py");
pub const GEMINI_JAVASCRIPT: Script = Script("gemini_realtime.mjs");

const RATE: u32 = 16_000;

/// Interpreters are heavy to start; more than this many at once only delay one another.
static INTERPRETERS: Semaphore = Semaphore::const_new(2);

/// Whom a script calls, and with what.
pub struct Called<'a> {
    pub base_url: String,
    pub key: &'a str,
    /// The authority's certificate, over TLS.
    pub authority: Option<PathBuf>,
}

impl Called<'_> {
    /// What each call of the script gave. In the recording there is a pause after the third word.
    pub async fn report(&self, script: Script, folder: &Path) -> Value {
        let recording = folder.join("recording.wav");
        std::fs::write(&recording, two_phrases().await).expect("write the recording");
        let _turn = INTERPRETERS.acquire().await.expect("a turn");
        match &self.authority {
            None => script.report(&self.base_url, self.key, &recording).await,
            Some(authority) => {
                script
                    .report_trusting(&self.base_url, self.key, &recording, authority)
                    .await
            }
        }
    }
}

pub const PHRASES: [&str; 2] = ["one two three", "four five"];

/// Two phrases with nearly a second of silence between them and after them.
pub async fn two_phrases() -> Vec<u8> {
    let silence = vec![0; RATE as usize * 9 / 10 * 2];
    let mut samples = Vec::new();
    for phrase in PHRASES {
        samples.extend_from_slice(&voice::speak(phrase, 1.0, Form::Pcm.at(RATE)).await);
        samples.extend_from_slice(&silence);
    }
    audio::wav(RATE, &samples).to_vec()
}

/// The seconds of that recording.
pub async fn recorded_seconds() -> f64 {
    (two_phrases().await.len() - 44) as f64 / f64::from(RATE) / 2.0
}

#[track_caller]
pub fn result<'a>(report: &'a Value, call: &str) -> &'a Value {
    assert!(report[call]["error"].is_null(), "{call}: {}", report[call]);
    let result = &report[call]["result"];
    assert!(!result.is_null(), "{call} was not made: {report}");
    result
}

#[track_caller]
pub fn error<'a>(report: &'a Value, call: &str) -> &'a Value {
    let error = &report[call]["error"];
    assert!(
        !error.is_null(),
        "{call} was to fail: {:.300}",
        report[call].to_string()
    );
    error
}

pub fn calls(report: &Value) -> Vec<&str> {
    let calls = report.as_object().expect("a report").keys();
    calls.map(String::as_str).collect()
}

/// Whether a result's audio plays, says the words, and lasts about as long as they do.
async fn check_sound(result: &Value, format: &str) {
    let sound = result["audio"].as_str().expect("audio");
    let sound = STANDARD.decode(sound).expect("audio in base64");
    let heard = sound::heard(format, &sound).await;
    assert_eq!(heard.text(), HEARD, "{format}");
    assert!((1.5..4.0).contains(&heard.seconds), "{format}: {heard:?}");
}

pub async fn check_elevenlabs(report: &Value) {
    let whole = result(report, "transcript");
    assert_eq!((&whole["text"], &whole["words"]), (&json!(HEARD), &json!(5)));
    assert!(whole["partials"].as_u64() > Some(1), "{whole}");
    let first = result(report, "transcript_by_pauses");
    assert_eq!((&first["text"], &first["words"]), (&json!(PHRASES[0]), &json!(3)));
    if calls(report).contains(&"speech") {
        let speech = result(report, "speech");
        assert!(speech["pieces"].as_u64() > Some(2), "it comes in pieces");
        check_sound(speech, "mp3").await;
    }
}

pub async fn check_azure(report: &Value) {
    for call in ["speak", "start_speaking", "speak_by_host"] {
        check_sound(result(report, call), "mp3").await;
    }
    for call in ["recognize_once", "recognize_once_by_host"] {
        let once = result(report, call);
        assert_eq!(once["text"], PHRASES[0], "{call}");
        assert!(once["seconds"].as_f64() > Some(0.8), "{once}");
    }
    let continuous = result(report, "recognize_continuously");
    assert_eq!(continuous["phrases"], json!(PHRASES));
    assert!(continuous["guesses"].as_u64() > Some(1), "{continuous}");
}

/// The first turn of each conversation; a model for chats is not found by the provider, and not let through by Voxgate.
pub async fn check_gemini(report: &Value) {
    let text = result(report, "text");
    check_sound(text, "pcm").await;
    assert_eq!((&text["heard"], &text["said"]), (&json!(""), &json!(WORDS)));
    let sound = result(report, "sound");
    assert_eq!(
        (&sound["heard"], &sound["said"]),
        (&json!(PHRASES[0]), &json!(PHRASES[0]))
    );
    assert!(text["tokens"].as_u64() > Some(30), "{}", text["tokens"]);
    assert_eq!(error(report, "chat_model")["status"], 1008);
}
