//! What a call consumes, read from what passes: one [`Meter`] per call, fed with every chunk.
//!
//! Bodies are never held. Where an endpoint's plan asks for nothing, a chunk costs an addition; memory is
//! what the readers' nesting and short values need. An answer that is compressed or not a success is not
//! read: what neither the provider says nor can be measured stays `None`.

pub(crate) mod json;
pub(crate) mod json_sound;
pub(crate) mod json_string;
mod multipart;
mod readers;
mod sound;
mod sse;
mod ssml;

pub(crate) use json_string::{Piece, StringReader};
pub(crate) use sound::{Mime, WaveHead};
pub(crate) use ssml::{SsmlScanner, TextCounter, is_wide};

use std::sync::Arc;

use http::HeaderMap;

use crate::descriptor::{ByteRate, FormatPlace, MeterPlan, Provider};
use crate::places;
use crate::rules::Route;
use readers::{AnswerReader, RequestReader, header_text, is_compressed};

pub struct Meter {
    provider: Arc<Provider>,
    plan: Arc<MeterPlan>,
    model_from_path: Option<String>,
    request: RequestReader,
    answer: AnswerReader,
    /// How the bytes of a successful answer turn into seconds.
    rate: Option<ByteRate>,
    answer_bytes: u64,
    status: Option<u16>,
    charged: Option<u64>,
    provider_request_id: Option<String>,
}

/// What was consumed, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub model: Option<String>,
    pub characters: Option<u64>,
    pub audio_seconds: Option<f64>,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub provider_request_id: Option<String>,
}

/// A provider's id of a request that is longer than this is not kept, nor a model's name.
const LONGEST_ID: usize = 200;

impl Meter {
    pub fn start(route: &Route, request_headers: &HeaderMap, query: Option<&str>) -> Self {
        let plan = route.endpoint().meter.clone();
        Self {
            request: RequestReader::new(&plan, request_headers),
            rate: byte_rate(&plan, request_headers, query),
            model_from_path: route.model_from_path.clone(),
            provider: route.provider.clone(),
            answer: AnswerReader::Nothing,
            answer_bytes: 0,
            status: None,
            charged: None,
            provider_request_id: None,
            plan,
        }
    }

    pub fn request_chunk(&mut self, bytes: &[u8]) {
        self.request.feed(bytes);
    }

    pub fn answer_head(&mut self, status: u16, headers: &HeaderMap) {
        self.status = Some(status);
        let ids = self
            .provider
            .request_id_headers
            .iter()
            .map(|name| header_text(headers, name));
        self.provider_request_id = ids
            .into_iter()
            .find(|id| !id.is_empty() && id.len() <= LONGEST_ID)
            .map(str::to_owned);
        let charged = self
            .plan
            .characters_header
            .as_ref()
            .map(|name| header_text(headers, name));
        self.charged = charged.and_then(|text| text.parse().ok());
        if self.is_failure() {
            return;
        }
        self.answer = AnswerReader::new(&self.plan, headers);
        if is_compressed(headers) {
            self.rate = None;
        }
    }

    pub fn answer_chunk(&mut self, bytes: &[u8]) {
        self.answer_bytes += bytes.len() as u64;
        self.answer.feed(bytes);
    }

    pub fn reading(&self) -> Reading {
        let plan = &self.plan;
        let named = self
            .model_from_path
            .as_deref()
            .or_else(|| self.request.model(plan));
        let mut reading = Reading {
            model: named.or(plan.model_default.as_deref()).and_then(recordable),
            provider_request_id: self.provider_request_id.clone(),
            ..Reading::default()
        };
        // A refused call consumes nothing.
        if !self.is_failure() {
            reading.characters = self.charged.or_else(|| self.request.characters(plan));
            reading.audio_seconds = self
                .answer
                .audio_seconds(plan)
                .filter(|seconds| seconds.is_finite())
                .or_else(|| self.seconds_of_bytes());
            reading.tokens_in = self.answer.tokens_in(plan);
            reading.tokens_out = self.answer.tokens_out(plan);
        }
        reading
    }

    fn is_failure(&self) -> bool {
        self.status.is_some_and(|status| !(200..300).contains(&status))
    }

    fn seconds_of_bytes(&self) -> Option<f64> {
        let rate = self.rate.filter(|_| self.status.is_some())?;
        Some(self.answer_bytes.saturating_sub(rate.head) as f64 / rate.per_second)
    }
}

/// The name as the record takes it. Callers choose it, and one that no database takes would keep a call off
/// the record.
pub fn recordable(name: &str) -> Option<String> {
    (name.len() <= LONGEST_ID).then(|| name.replace(char::is_control, "\u{fffd}"))
}

/// The rate of the format that the request asks for, where it has a fixed one.
fn byte_rate(plan: &MeterPlan, headers: &HeaderMap, query: Option<&str>) -> Option<ByteRate> {
    let audio = plan.audio_bytes.as_ref()?;
    let asked = match &audio.format {
        FormatPlace::Header(name) => Some(header_text(headers, name).into())
            .filter(|text: &std::borrow::Cow<'_, str>| !text.is_empty()),
        FormatPlace::Query(wanted) => {
            let mut parameters = places::parameters(query.unwrap_or_default());
            parameters
                .find(|(name, _)| places::decoded(name) == wanted.as_str())
                .map(|(_, value)| places::decoded(value))
        }
    };
    let format = asked.as_deref().or(audio.default_format.as_deref())?;
    audio.formats.get(format).copied()
}
