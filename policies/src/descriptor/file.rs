//! The provider file as it is written: names and defaults of its keys, and nothing of what they mean.
//!
//! Unknown keys are errors. `parse` turns these types into those of `provider`.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Deserialize;

use super::errors::{DescriptorErrors, Findings};
use super::provider::{Model, Provider, RequestShape, Voice};
use super::socket::file::FileSocket;
use super::unified::file::{FileSpeech, FileTranscription};
use super::{lint, parse};
use crate::vocabulary::{Dialect, Operation, Verdict};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub id: String,
    pub name: String,
    pub key_url: String,
    pub dialect: Dialect,
    pub operations: Vec<Operation>,
    #[serde(default)]
    pub root_paths: Vec<String>,
    #[serde(default)]
    pub refused_query: Vec<String>,
    #[serde(default)]
    pub request_id_headers: Vec<String>,
    #[serde(default)]
    pub settings: Vec<FileSetting>,
    pub hosts: BTreeMap<String, FileHost>,
    pub key: FileKey,
    pub endpoints: Vec<FileEndpoint>,
    #[serde(default)]
    pub meters: BTreeMap<String, FileMeter>,
    #[serde(default)]
    pub sockets: BTreeMap<String, FileSocket>,
    pub verdicts: Vec<FileVerdict>,
    #[serde(default)]
    pub retry: FileRetry,
    #[serde(default)]
    pub messages: Vec<String>,
    pub probes: Vec<FileCall>,
    #[serde(default)]
    pub models: FileModels,
    #[serde(default)]
    pub voices: FileVoices,
    pub quota: Option<FileQuota>,
    pub speech: Option<FileSpeech>,
    pub transcription: Option<FileTranscription>,
    #[serde(default)]
    pub prices: Vec<FilePrice>,
    pub timeouts: FileTimeouts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSetting {
    pub name: String,
    pub title: String,
    #[serde(default)]
    pub help: String,
    #[serde(default)]
    pub required: bool,
    pub required_unless: Option<String>,
    pub default: Option<String>,
    pub shape: FileShape,
    #[serde(default)]
    pub known: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum FileShape {
    Label {
        min: usize,
        max: usize,
        #[serde(default)]
        hyphens: bool,
    },
    OneOf(Vec<String>),
    OperatorUrl,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHost {
    pub url: String,
    #[serde(default)]
    pub variants: Vec<FileVariant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileVariant {
    /// Setting → value, or `*` for any.
    pub when: BTreeMap<String, String>,
    pub url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileKey {
    pub header: Option<String>,
    pub query: Option<String>,
    #[serde(default = "only_the_key")]
    pub format: String,
    #[serde(default)]
    pub fixed_headers: BTreeMap<String, String>,
}

fn only_the_key() -> String {
    "{key}".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEndpoint {
    /// An HTTP method, or `WS`.
    pub method: String,
    pub path: String,
    pub host: String,
    pub operation: Operation,
    /// A key of `meters`.
    pub meter: Option<String>,
    /// A key of `sockets`, where the method is `WS`.
    pub socket: Option<String>,
    #[serde(default)]
    pub inbound_prefixes: Vec<String>,
    #[serde(default)]
    pub upstream_prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileMeter {
    #[serde(default)]
    pub request: RequestShape,
    #[serde(default)]
    pub model: Vec<String>,
    pub model_default: Option<String>,
    #[serde(default)]
    pub model_by_voice: Vec<FileVoiceModel>,
    #[serde(default)]
    pub characters: Vec<String>,
    #[serde(default)]
    pub wide_characters_count_double: bool,
    pub characters_header: Option<String>,
    #[serde(default)]
    pub audio_seconds: Vec<FileScaled>,
    #[serde(default)]
    pub tokens_in: Vec<String>,
    #[serde(default)]
    pub tokens_out: Vec<String>,
    pub audio_bytes: Option<FileAudioBytes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileVoiceModel {
    pub voice: String,
    pub model: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileScaled {
    pub at: String,
    pub times: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileAudioBytes {
    pub query: Option<String>,
    pub header: Option<String>,
    pub default: Option<String>,
    pub bytes_per_second: BTreeMap<String, f64>,
    /// Bytes before the audio, for the formats that have some.
    #[serde(default)]
    pub head_bytes: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileVerdict {
    /// `401`, `4xx` or `500-599`; one or several. This, `close` or `message`.
    #[serde(default)]
    pub status: Vec<String>,
    /// Codes that close a WebSocket: `1008` or `4000-4999`.
    #[serde(default)]
    pub close: Vec<String>,
    #[serde(default)]
    pub message: bool,
    #[serde(default)]
    pub at: Vec<String>,
    #[serde(default)]
    pub equals: Vec<String>,
    #[serde(default)]
    pub contains: Vec<String>,
    #[serde(default)]
    pub text_contains: Vec<String>,
    #[serde(default)]
    pub text_begins: Vec<String>,
    pub verdict: Verdict,
    #[serde(default)]
    pub stops_everything: bool,
    pub says: Option<String>,
    #[serde(default)]
    pub names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileRetry {
    pub at: Vec<String>,
    pub sentences: Vec<String>,
    pub phrases: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCall {
    #[serde(default = "get")]
    pub method: String,
    pub host: String,
    pub path: String,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
}

fn get() -> String {
    "GET".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileModels {
    pub call: Option<FileCall>,
    pub items: String,
    pub id: String,
    pub id_prefix: String,
    pub name: String,
    pub next: Option<String>,
    pub page_query: Option<String>,
    pub operations: BTreeMap<Operation, FileModelTest>,
    pub fixed: Vec<Model>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileModelTest {
    pub flag: Option<String>,
    pub names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileVoices {
    pub call: Option<FileCall>,
    pub items: String,
    pub id: String,
    pub name: String,
    pub languages: Vec<String>,
    pub gender: Option<String>,
    pub styles: Option<String>,
    pub preview: Option<String>,
    pub next: Option<String>,
    pub page_query: Option<String>,
    pub search_query: Option<String>,
    pub language_query: Option<String>,
    pub fixed: Vec<Voice>,
    pub more: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileQuota {
    pub call: FileCall,
    pub used: String,
    pub limit: String,
    pub unit: String,
    pub resets_at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePrice {
    pub models: Vec<String>,
    pub operation: Operation,
    pub per_million_characters: Option<f64>,
    pub per_hour: Option<f64>,
    pub per_million_tokens_in: Option<f64>,
    pub per_million_tokens_out: Option<f64>,
    pub from: Option<NaiveDate>,
    pub until: Option<NaiveDate>,
    pub checked: NaiveDate,
    pub source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTimeouts {
    pub connect_ms: u64,
    pub first_byte_ms: u64,
    pub idle_ms: u64,
}

/// Reads, parses and lints one provider file; tells every problem it can see.
pub(super) fn read(file_name: &str, text: &str) -> Result<Provider, DescriptorErrors> {
    let mut findings = Findings::new(file_name, text);
    let parsed = match toml::de::Deserializer::parse(text) {
        Ok(document) => serde_path_to_error::deserialize::<_, File>(document).map_err(|error| {
            let path = error.path().to_string().replace('[', ".").replace(']', "");
            (path, error.into_inner())
        }),
        Err(error) => Err((String::new(), error)),
    };
    let file = match parsed {
        Ok(file) => file,
        Err((key, mut error)) => {
            error.set_input(Some(text));
            findings.add_unreadable(key, &error);
            return Err(findings.into_errors());
        }
    };
    let provider = parse::provider(file, &mut findings);
    if let Some(provider) = &provider {
        lint::lint(provider, &mut findings);
    }
    match provider {
        Some(provider) if findings.is_empty() => Ok(provider),
        _ => Err(findings.into_errors()),
    }
}
