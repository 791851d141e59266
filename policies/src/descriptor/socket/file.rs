//! `[sockets.…]` as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{MessageShape, PartBody};
use crate::descriptor::file::FileVoiceModel;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::descriptor) struct FileSocket {
    pub token_fields: Vec<String>,
    pub token_in_first_message: bool,
    pub setup: Option<FileSetup>,
    /// `json` or `headed`; left out: messages pass unread.
    pub messages: MessageShape,
    pub model_query: Option<String>,
    pub model_default: Option<String>,
    pub model_by_voice: Vec<FileVoiceModel>,
    pub wide_characters_count_double: bool,
    pub audio_in: FileSound,
    pub audio_out: FileSound,
    pub caller: Vec<FilePart>,
    pub provider: Vec<FilePart>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::descriptor) struct FileSetup {
    pub model: Vec<String>,
    #[serde(default)]
    pub model_prefix: String,
    pub models: Vec<String>,
    /// The name in whose place the caller's selection goes.
    pub from_selection: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::descriptor) struct FileSound {
    pub query: Option<String>,
    pub default: Option<String>,
    pub bytes_per_second: BTreeMap<String, f64>,
    pub samples_per_second: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::descriptor) struct FilePart {
    pub path: Option<String>,
    /// `json` when left out, `ssml`, `text` or `audio`.
    pub body: PartBody,
    pub model: Vec<String>,
    pub voice: Vec<String>,
    pub characters: Vec<String>,
    pub audio: Vec<FileAudioPlace>,
    pub transcript: Vec<String>,
    pub format: Vec<String>,
    pub tokens_in: Vec<String>,
    pub tokens_out: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::descriptor) struct FileAudioPlace {
    pub at: String,
    /// Members beside it that may hold its MIME type.
    #[serde(default)]
    pub mime: Vec<String>,
}
