//! What a descriptor means once it is parsed and checked: the types that every rule reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};

use super::origin::Origin;
use super::pattern::PathPattern;
use super::pointer::{Glob, Pointer};
use super::settings::{Setting, Template};
use super::socket::SocketPlan;
use super::text::Texts;
use super::unified::{SpeechSource, TranscriptionSource};
use crate::vocabulary::{Dialect, Operation, ProviderId, Verdict};

/// Everything known about one provider, parsed and checked.
#[derive(Clone, Debug)]
pub struct Provider {
    pub id: ProviderId,
    pub name: String,
    /// Where a person gets a key.
    pub key_url: String,
    pub dialect: Dialect,
    /// The operations that people choose this provider for: `tts`, `stt`.
    pub operations: Vec<Operation>,
    pub settings: Vec<Setting>,
    pub hosts: BTreeMap<String, HostTemplate>,
    pub key: KeyPlacement,
    /// Path prefixes at the gateway's root that also mean this provider, for SDKs that drop the prefix.
    pub root_paths: Vec<String>,
    /// Query parameters whose presence alone refuses a call.
    pub refused_query: Vec<String>,
    pub endpoints: Vec<Endpoint>,
    /// First match decides.
    pub verdicts: Vec<VerdictRule>,
    pub retry: RetryHints,
    /// Where a refusal says in words what is wrong with the request.
    pub messages: Vec<Pointer>,
    /// Free calls that tell whether a key is real, the best one first.
    pub probes: Vec<Call>,
    pub models: ModelSource,
    pub voices: VoiceSource,
    pub quota: Option<QuotaSource>,
    /// How `/v1` has it speak and transcribe; `None`: not at all.
    pub speech: Option<SpeechSource>,
    pub transcription: Option<TranscriptionSource>,
    /// The templates of both.
    pub texts: Texts,
    /// Answer headers that hold the provider's own id of the request.
    pub request_id_headers: Vec<HeaderName>,
    pub prices: Vec<Price>,
    pub timeouts: Timeouts,
}

/// A host of the provider: a template with `{setting}` holes, and variants that settings choose.
#[derive(Clone, Debug)]
pub struct HostTemplate {
    pub url: Template,
    /// The first whose conditions all hold takes the place of `url`.
    pub variants: Vec<HostVariant>,
    /// What the template gives when it has no hole and no variant, so that nothing is parsed again.
    pub fixed: Option<Arc<Origin>>,
}

#[derive(Clone, Debug)]
pub struct HostVariant {
    /// Setting → value it must have; `None`: any value.
    pub when: BTreeMap<String, Option<String>>,
    pub url: Template,
}

/// The one place where a key goes, and the headers that always go with it.
#[derive(Clone, Debug)]
pub struct KeyPlacement {
    pub place: KeyPlace,
    /// What stands before and after the key in that place: `Bearer `, or nothing.
    pub before: String,
    pub after: String,
    pub fixed_headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone, Debug)]
pub enum KeyPlace {
    Header(HeaderName),
    Query(String),
}

/// One method and path that may be reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub method: EndpointMethod,
    pub path: PathPattern,
    /// Names one of the provider's hosts.
    pub host: String,
    /// Prefixes that callers may put before the path; taken off before it goes upstream.
    pub inbound_prefixes: Vec<String>,
    /// Put before the path when it goes upstream, whatever the caller wrote.
    pub upstream_prefix: String,
    pub operation: Operation,
    pub meter: Arc<MeterPlan>,
    /// How its messages are read, where it is a WebSocket.
    pub socket: Arc<SocketPlan>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointMethod {
    Http(Method),
    WebSocket,
}

/// What can be read from a call while it passes. Empty lists: nothing, and passing chunks cost an addition.
#[derive(Clone, Debug, Default)]
pub struct MeterPlan {
    pub request: RequestShape,
    /// Where the request names its model: JSON pointers, or names of multipart fields.
    pub model: Vec<Pointer>,
    /// The model when the request names none.
    pub model_default: Option<String>,
    /// Models told by the voice that a markup body names; the first that fits.
    pub model_by_voice: Vec<(Glob, String)>,
    /// Strings of a JSON request whose characters are counted.
    pub characters: Vec<Pointer>,
    /// Whether Chinese, Japanese and Korean characters count double.
    pub wide_characters_count_double: bool,
    /// Answer header that says how many characters were charged.
    pub characters_header: Option<HeaderName>,
    pub audio_seconds: Vec<Scaled>,
    pub tokens_in: Vec<Pointer>,
    pub tokens_out: Vec<Pointer>,
    pub audio_bytes: Option<AudioBytes>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestShape {
    #[default]
    Opaque,
    Json,
    Ssml,
    Multipart,
}

/// A number in an answer and what one of it is worth.
#[derive(Clone, Debug)]
pub struct Scaled {
    pub at: Pointer,
    pub times: f64,
}

/// Seconds of audio from the bytes of an answer, where the format that was asked for has a fixed rate.
#[derive(Clone, Debug)]
pub struct AudioBytes {
    pub format: FormatPlace,
    pub default_format: Option<String>,
    pub formats: BTreeMap<String, ByteRate>,
}

#[derive(Clone, Debug)]
pub enum FormatPlace {
    Query(String),
    Header(HeaderName),
}

#[derive(Clone, Copy, Debug)]
pub struct ByteRate {
    pub per_second: f64,
    /// Bytes before the audio, such as a container's head.
    pub head: u64,
}

/// What an answer says about the key: status and body → verdict, and the like for WebSockets.
#[derive(Clone, Debug)]
pub struct VerdictRule {
    pub on: Occasion,
    pub body: BodyMatch,
    pub verdict: Verdict,
    /// Nothing that this gateway offers works with such a key.
    pub stops_everything: bool,
    /// A sentence for people. `{named}` is replaced by those of `names` that the answer mentions.
    pub says: Option<String>,
    pub names: Vec<String>,
}

/// What a rule is about. Ranges are inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// An answer's status, and its body.
    Status(Vec<(u16, u16)>),
    /// The code that closes a WebSocket, and its reason.
    Close(Vec<(u16, u16)>),
    /// A WebSocket's message.
    Message,
}

impl Occasion {
    pub fn has_status(&self, status: u16) -> bool {
        matches!(self, Self::Status(ranges) if within(ranges, status))
    }

    pub fn has_close(&self, code: u16) -> bool {
        matches!(self, Self::Close(ranges) if within(ranges, code))
    }
}

fn within(ranges: &[(u16, u16)], number: u16) -> bool {
    ranges.iter().any(|(from, to)| (*from..=*to).contains(&number))
}

#[derive(Clone, Debug)]
pub enum BodyMatch {
    Anything,
    /// A value at one of the pointers that is one of these, or contains one of these (without case).
    /// Both lists empty: some value is there.
    Json {
        at: Vec<Pointer>,
        equals: Vec<String>,
        contains: Vec<String>,
    },
    /// Text that is not HTML and contains one of these, in lower case.
    Text(Vec<String>),
    /// Text that begins with one of these, in lower case.
    Begins(Vec<String>),
}

/// Where a refusal says how long to wait, besides the `retry-after` header.
#[derive(Clone, Debug, Default)]
pub struct RetryHints {
    /// A duration such as `27s`, or seconds as a number.
    pub at: Vec<Pointer>,
    /// Sentences, and the words in them that stand before the duration.
    pub sentences: Vec<Pointer>,
    pub phrases: Vec<String>,
}

/// A call that Voxgate makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub method: Method,
    pub host: String,
    pub path: String,
    pub query: Vec<(String, String)>,
}

/// How to list models: live, from the descriptor, or both.
#[derive(Clone, Debug, Default)]
pub struct ModelSource {
    pub call: Option<Call>,
    pub items: Pointer,
    pub id: Pointer,
    /// Taken off an id: `models/`.
    pub id_prefix: String,
    pub name: Pointer,
    pub next: Option<Pointer>,
    pub page_query: Option<String>,
    /// What makes a model one of an operation. A path's `{model}` must be of the endpoint's operation.
    pub operations: Vec<(Operation, ModelTest)>,
    pub fixed: Vec<Model>,
}

/// Which models are of an operation: by a flag of the live list, by name, or both.
#[derive(Clone, Debug, Default)]
pub struct ModelTest {
    pub flag: Option<Pointer>,
    pub names: Vec<Glob>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub id: String,
    pub name: String,
    pub operations: Vec<Operation>,
}

/// How to list voices: live, or from the descriptor.
#[derive(Clone, Debug, Default)]
pub struct VoiceSource {
    pub call: Option<Call>,
    pub items: Pointer,
    pub id: Pointer,
    pub name: Pointer,
    pub languages: Vec<Pointer>,
    pub gender: Option<Pointer>,
    /// Ways of speaking that a voice has, where instructions name one of them.
    pub styles: Option<Pointer>,
    pub preview: Option<Pointer>,
    pub next: Option<Pointer>,
    pub page_query: Option<String>,
    /// Query names where the provider itself searches; without them the list is searched here.
    pub search_query: Option<String>,
    pub language_query: Option<String>,
    pub fixed: Vec<Voice>,
    /// Whether there may be voices that no list shows.
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voice {
    pub id: String,
    pub name: String,
    /// Empty: any language, as far as the provider says.
    #[serde(default)]
    pub languages: Vec<String>,
    pub gender: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub styles: Vec<String>,
    pub preview_url: Option<String>,
}

#[derive(Clone, Debug)]
pub struct QuotaSource {
    pub call: Call,
    pub used: Pointer,
    pub limit: Pointer,
    pub unit: String,
    /// Seconds since 1970.
    pub resets_at: Option<Pointer>,
}

/// A list price in US dollars, with the time it holds for and where it was read.
#[derive(Clone, Debug)]
pub struct Price {
    pub models: Vec<Glob>,
    pub operation: Operation,
    pub per_million_characters: Option<f64>,
    pub per_hour: Option<f64>,
    pub per_million_tokens_in: Option<f64>,
    pub per_million_tokens_out: Option<f64>,
    pub from: Option<NaiveDate>,
    /// The last day it holds.
    pub until: Option<NaiveDate>,
    pub checked: NaiveDate,
    pub source: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Silence in both directions.
    pub idle: Duration,
}

/// An operator's own limits in place of the descriptor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutOverrides {
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub idle: Option<Duration>,
}

impl Provider {
    /// Whether the answer to a probe is also the answer to the question for models.
    pub fn probe_lists_models(&self, probe: usize) -> bool {
        self.models.call.is_some() && self.models.call.as_ref() == self.probes.get(probe)
    }

    /// The names that a model in a path must match for this operation; `None`: any.
    pub fn model_names(&self, operation: Operation) -> Option<&[Glob]> {
        let (_, test) = self.models.operations.iter().find(|(of, _)| *of == operation)?;
        (!test.names.is_empty()).then_some(test.names.as_slice())
    }
}
