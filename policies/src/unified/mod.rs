//! `/v1`: one request shape for every provider, translated by its descriptor into the provider's own and back.
//!
//! What a caller writes becomes a [`SpeechRequest`] or [`TranscriptionRequest`]; [`candidates`] finds who may
//! serve it; a [`SpeechPlan`] or [`TranscriptionPlan`] holds the calls to one of them, or says what it cannot do.
//! Its answer comes back through an [`AudioReader`], or as one [`Transcript`] from which every format is rendered.

mod answer;
mod call;
mod choice;
mod events;
mod models;
mod render;
mod request;
mod sentences;
mod speech;
mod transcript;
mod transcription;

pub use answer::{AudioReader, BadAnswer, read_transcript};
pub use choice::{Candidate, candidates};
pub use events::{speech_delta, speech_done, transcript_events};
pub use models::{Listed, model_json, models_json};
pub use render::{Rendered, render};
pub use request::{AudioFile, Delivery, SpeechRequest, TranscriptionRequest};
pub use sentences::split;
pub use speech::{SpeechPlan, SpokenAs};
pub use transcript::{Segment, Transcript, Word};
pub use transcription::{AudioEncoding, TranscriptionPlan};

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::vocabulary::{Code, Refusal};

/// The head of a call to a provider, as a native caller would have written it, without any credential.
#[derive(Clone, Debug)]
pub struct TranslatedHead {
    pub method: Method,
    /// Provider-relative, escaped.
    pub path: String,
    pub query: Option<String>,
    /// `content-type` and what else the provider wants to read. No `content-length`.
    pub headers: HeaderMap,
}

/// A call whose whole body is at hand.
#[derive(Clone, Debug)]
pub struct TranslatedCall {
    pub head: TranslatedHead,
    pub body: Bytes,
}

/// The refusal of what a provider cannot be asked.
fn cannot(field: &'static str, message: String) -> Refusal {
    Refusal::new(Code::InvalidRequest, message).at(field)
}
