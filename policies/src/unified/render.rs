//! A transcript in the format that was asked for.

use super::{Transcript, TranscriptionRequest};

pub struct Rendered {
    pub content_type: &'static str,
    pub body: String,
}

/// `json text srt vtt verbose_json diarized_json`.
pub fn render(_transcript: &Transcript, _request: &TranscriptionRequest) -> Rendered {
    todo!()
}
