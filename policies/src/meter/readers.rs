//! Which reader a body needs, chosen once from the plan and the content type.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use super::json::{Found, JsonScanner, Take, Want};
use super::multipart::MultipartScanner;
use super::sse::SseScanner;
use super::ssml::SsmlScanner;
use crate::descriptor::{MeterPlan, Pointer, RequestShape, Step};

#[derive(Debug)]
pub(super) enum RequestReader {
    Nothing,
    Json(Box<JsonScanner>),
    Ssml(Box<SsmlScanner>),
    Multipart(Box<MultipartScanner>),
}

#[derive(Debug)]
pub(super) enum AnswerReader {
    Nothing,
    Json(Box<JsonScanner>),
    Events(Box<SseScanner>),
}

impl RequestReader {
    pub fn new(plan: &MeterPlan, headers: &HeaderMap) -> Self {
        if is_compressed(headers) {
            return Self::Nothing;
        }
        match plan.request {
            RequestShape::Opaque => Self::Nothing,
            RequestShape::Json => Self::Json(Box::new(JsonScanner::new(request_wants(plan)))),
            RequestShape::Ssml => Self::Ssml(Box::new(SsmlScanner::new(plan.wide_characters_count_double))),
            RequestShape::Multipart => multipart(plan, headers).map_or(Self::Nothing, Self::Multipart),
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Json(json) => json.feed(bytes),
            Self::Ssml(ssml) => ssml.feed(bytes),
            Self::Multipart(form) => form.feed(bytes),
        }
    }

    /// The model that the request names.
    pub fn model<'r>(&'r self, plan: &'r MeterPlan) -> Option<&'r str> {
        match self {
            Self::Nothing => None,
            Self::Json(json) => json.found()[..plan.model.len()]
                .iter()
                .find_map(|found| found.text.as_deref()),
            Self::Ssml(ssml) => {
                let voice = ssml.voice()?;
                let rule = plan.model_by_voice.iter().find(|(glob, _)| glob.matches(voice));
                rule.map(|(_, model)| model.as_str())
            }
            Self::Multipart(form) => form.value(),
        }
    }

    /// The characters that the request asks to be spoken.
    pub fn characters(&self, plan: &MeterPlan) -> Option<u64> {
        match self {
            Self::Json(json) => json.found()[plan.model.len()..]
                .iter()
                .filter_map(|found| found.length)
                .reduce(|a, b| a + b),
            Self::Ssml(ssml) => Some(ssml.characters()),
            Self::Nothing | Self::Multipart(_) => None,
        }
    }
}

fn request_wants(plan: &MeterPlan) -> Vec<Want> {
    let want = |take: Take| move |at: &Pointer| Want { at: at.clone(), take };
    let models = plan.model.iter().map(want(Take::Text));
    models
        .chain(plan.characters.iter().map(want(Take::Length)))
        .collect()
}

fn multipart(plan: &MeterPlan, headers: &HeaderMap) -> Option<Box<MultipartScanner>> {
    let Some([Step::Key(field)]) = plan.model.first().map(Pointer::steps) else {
        return None;
    };
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    MultipartScanner::new(content_type, field).map(Box::new)
}

impl AnswerReader {
    /// For a successful answer.
    pub fn new(plan: &MeterPlan, headers: &HeaderMap) -> Self {
        let wants = answer_wants(plan);
        if wants.is_empty() || is_compressed(headers) {
            return Self::Nothing;
        }
        let content_type = header_text(headers, &CONTENT_TYPE).to_ascii_lowercase();
        if content_type.starts_with("text/event-stream") {
            Self::Events(Box::new(SseScanner::new(wants)))
        } else if content_type.contains("json") {
            Self::Json(Box::new(JsonScanner::new(wants)))
        } else {
            Self::Nothing
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Json(json) => json.feed(bytes),
            Self::Events(events) => events.feed(bytes),
        }
    }

    fn found(&self) -> &[Found] {
        match self {
            Self::Nothing => &[],
            Self::Json(json) => json.found(),
            Self::Events(events) => events.found(),
        }
    }

    pub fn audio_seconds(&self, plan: &MeterPlan) -> Option<f64> {
        let numbers = self.found().iter().map(|found| found.number);
        numbers
            .zip(&plan.audio_seconds)
            .find_map(|(number, scaled)| Some(number? * scaled.times))
    }

    pub fn tokens_in(&self, plan: &MeterPlan) -> Option<u64> {
        self.whole_number(plan.audio_seconds.len(), plan.tokens_in.len())
    }

    pub fn tokens_out(&self, plan: &MeterPlan) -> Option<u64> {
        self.whole_number(
            plan.audio_seconds.len() + plan.tokens_in.len(),
            plan.tokens_out.len(),
        )
    }

    fn whole_number(&self, skip: usize, count: usize) -> Option<u64> {
        let number = self
            .found()
            .iter()
            .skip(skip)
            .take(count)
            .find_map(|found| found.number)?;
        (number >= 0.0).then_some(number as u64)
    }
}

/// In the order in which the readings above count them off.
fn answer_wants(plan: &MeterPlan) -> Vec<Want> {
    let seconds = plan.audio_seconds.iter().map(|scaled| &scaled.at);
    let all = seconds.chain(&plan.tokens_in).chain(&plan.tokens_out);
    all.map(|at| Want {
        at: at.clone(),
        take: Take::Number,
    })
    .collect()
}

pub(super) fn is_compressed(headers: &HeaderMap) -> bool {
    let encoding = header_text(headers, &CONTENT_ENCODING);
    !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")
}

pub(super) fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map_or("", str::trim)
}
