//! `[speech]` and `[transcription]` as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::vocabulary::AudioFormat;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileSpeech {
    pub default_model: String,
    pub default_voice: Option<String>,
    #[serde(default)]
    pub default_voices: Vec<FileDefaultVoice>,
    /// Those that this call serves; all of the operation's when left out.
    pub models: Option<Vec<String>>,
    pub path: String,
    #[serde(default)]
    pub query: Vec<FileField>,
    #[serde(default)]
    pub headers: Vec<FileField>,
    pub json: Option<String>,
    pub ssml: Option<String>,
    #[serde(default)]
    pub max_characters: Vec<FileLimit>,
    #[serde(default)]
    pub wide_characters_count_double: bool,
    pub speed: Option<FileRange>,
    #[serde(default)]
    pub instructions: Vec<String>,
    #[serde(default)]
    pub styles: Vec<String>,
    pub formats: Option<BTreeMap<AudioFormat, String>>,
    pub samples: Option<FileSamples>,
    pub events: Option<FileEvents>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileField {
    pub name: String,
    pub text: Option<String>,
    pub json: Option<String>,
    pub each: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileDefaultVoice {
    pub models: Vec<String>,
    pub voice: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileLimit {
    pub models: Vec<String>,
    pub characters: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileRange {
    pub from: f64,
    pub to: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileSamples {
    pub asked: String,
    /// Left out where samples come as WAV, whose head says it.
    pub rate: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileEvents {
    pub audio: String,
    pub mime: Option<String>,
    pub finish: Option<FileFinish>,
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileFinish {
    pub at: String,
    pub equals: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileTranscription {
    pub default_model: String,
    pub models: Option<Vec<String>>,
    pub path: String,
    #[serde(default)]
    pub query: Vec<FileField>,
    #[serde(default)]
    pub headers: Vec<FileField>,
    pub file: Option<String>,
    pub fields: Option<Vec<FileField>>,
    pub json: Option<String>,
    #[serde(default)]
    pub recording: bool,
    pub max_bytes: u64,
    #[serde(default)]
    pub can: FileCan,
    #[serde(default)]
    pub locales: BTreeMap<String, String>,
    pub answer: Option<FileAnswer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct FileCan {
    pub words: Vec<String>,
    pub times: Vec<String>,
    pub speakers: Vec<String>,
    pub languages: Vec<String>,
    pub prompt: Vec<String>,
    pub keywords: Vec<String>,
    pub temperature: Vec<String>,
    pub translation: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileAnswer {
    pub text: Vec<String>,
    pub silence: Option<String>,
    pub language: Option<String>,
    pub duration: Option<FileTimed>,
    pub words: Option<FileStretches>,
    pub segments: Option<FileStretches>,
    pub finish: Option<FileFinish>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileTimed {
    pub at: String,
    #[serde(default = "seconds")]
    pub times: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileStretches {
    pub items: String,
    pub text: Vec<String>,
    pub start: String,
    pub end: Option<String>,
    /// In the place of `end`.
    pub lasts: Option<String>,
    #[serde(default = "seconds")]
    pub times: f64,
    pub speaker: Option<String>,
    pub only: Option<FileFinish>,
}

fn seconds() -> f64 {
    1.0
}
