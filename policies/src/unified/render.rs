//! A transcript in the format that was asked for.

mod json;
mod subtitles;

pub(super) use json::speakers_named;

use super::{Transcript, TranscriptionRequest};
use crate::vocabulary::TranscriptFormat;

pub struct Rendered {
    pub content_type: &'static str,
    pub body: String,
}

/// `json text srt vtt verbose_json diarized_json`.
pub fn render(transcript: &Transcript, request: &TranscriptionRequest) -> Rendered {
    let (content_type, body) = match request.format {
        TranscriptFormat::Json => ("application/json", json::plain(transcript, request)),
        TranscriptFormat::VerboseJson => ("application/json", json::verbose(transcript, request)),
        TranscriptFormat::DiarizedJson => ("application/json", json::diarized(transcript)),
        TranscriptFormat::Text => ("text/plain; charset=utf-8", format!("{}\n", transcript.text)),
        // SubRip has no registered type; OpenAI sends it as plain text.
        TranscriptFormat::Srt => ("text/plain; charset=utf-8", subtitles::srt(transcript)),
        TranscriptFormat::Vtt => ("text/vtt; charset=utf-8", subtitles::vtt(transcript)),
    };
    Rendered { content_type, body }
}
