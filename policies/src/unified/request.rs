//! What a caller of `/v1` asks for, read from JSON or from the fields of a form.
//!
//! Refusals name the field and say what it takes. What is not known is refused as well, so that nothing a caller
//! writes is silently ignored.

mod form;
mod json;

use std::fmt::Write;

use crate::descriptor::nearest;
use crate::vocabulary::{AudioFormat, Code, Refusal, Task, TranscriptFormat};

#[derive(Clone, Debug, PartialEq)]
pub struct SpeechRequest {
    pub model: String,
    pub input: String,
    /// `None` for `default`.
    pub voice: Option<String>,
    pub instructions: Option<String>,
    pub format: AudioFormat,
    /// `None` for 1.
    pub speed: Option<f64>,
    pub delivery: Delivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Audio,
    /// Server-sent events with audio in base64.
    Events,
}

impl SpeechRequest {
    /// Refusals name the field. Unknown fields are refused too: nothing is silently ignored.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        json::speech(body)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptionRequest {
    pub task: Task,
    pub model: String,
    /// `language` first, then those of `languages[]`, each once.
    pub languages: Vec<String>,
    pub prompt: Option<String>,
    pub keywords: Vec<String>,
    /// `None` for 0, the default.
    pub temperature: Option<f64>,
    pub format: TranscriptFormat,
    /// Asked for by `timestamp_granularities[]`.
    pub words: bool,
    /// Likewise, and where `verbose_json` is asked for without it. The formats that consist of segments do without
    /// it.
    pub segments: bool,
    pub stream: bool,
}

/// What the caller's file part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudioFile {
    pub name: Option<String>,
    pub content_type: Option<String>,
}

impl TranscriptionRequest {
    /// From the fields of a form, in any order, the file left out. `task` says which endpoint was called.
    pub fn parse(task: Task, fields: &[(String, String)]) -> Result<Self, Refusal> {
        form::transcription(task, fields)
    }
}

/// As the record keeps it.
const LONGEST_ID: usize = 200;
/// As much of a field's name as a refusal repeats.
const LONGEST_NAME: usize = 64;

/// The refusal of a field that is none of `known`, by name.
fn unknown_field(name: &str, known: &[&'static str]) -> Refusal {
    let shown: String = name
        .chars()
        .take(LONGEST_NAME)
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .collect();
    let mut message = format!("unknown field `{shown}`");
    let _ = match nearest(&shown, known.iter().copied()) {
        Some(near) => write!(message, "; did you mean `{near}`?"),
        None => write!(message, "; known are {}", known.join(", ")),
    };
    Refusal::new(Code::InvalidRequest, message).at(shown)
}

/// The name of a model or a voice: short and printable, since it goes into paths, headers and records.
fn name(field: &'static str, text: &str) -> Result<String, Refusal> {
    if text.len() > LONGEST_ID || text.chars().any(char::is_control) {
        return Err(invalid(field, "must be at most 200 bytes of printable text"));
    }
    Ok(text.to_owned())
}

fn invalid(field: &'static str, wanted: &str) -> Refusal {
    Refusal::new(Code::InvalidRequest, format!("`{field}` {wanted}")).at(field)
}

fn unsupported(formats: &[&'static str]) -> Refusal {
    let message = format!("`response_format` must be one of {}", formats.join(", "));
    Refusal::new(Code::UnsupportedFormat, message).at("response_format")
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}
