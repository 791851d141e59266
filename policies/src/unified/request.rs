//! What a caller of `/v1` asks for, read from JSON or from the fields of a form.

use crate::vocabulary::{AudioFormat, Refusal, Task, TranscriptFormat};

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
    pub fn parse(_body: &[u8]) -> Result<Self, Refusal> {
        todo!()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptionRequest {
    pub task: Task,
    pub model: String,
    pub languages: Vec<String>,
    pub prompt: Option<String>,
    pub keywords: Vec<String>,
    /// `None` for 0, the default.
    pub temperature: Option<f64>,
    pub format: TranscriptFormat,
    /// Asked for by `timestamp_granularities[]`.
    pub words: bool,
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
    pub fn parse(_task: Task, _fields: &[(String, String)]) -> Result<Self, Refusal> {
        todo!()
    }
}
