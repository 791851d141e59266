//! The server-sent events of `stream_format=sse` and `stream=true`.

use super::{Transcript, TranscriptionRequest};
use crate::meter::Reading;

/// One `speech.audio.delta`, complete with its blank line.
pub fn speech_delta(_audio: &[u8]) -> String {
    todo!()
}

/// `speech.audio.done`.
pub fn speech_done(_reading: &Reading) -> String {
    todo!()
}

/// `transcript.text.delta` …, `transcript.text.segment` … where speakers were asked for, `transcript.text.done`.
pub fn transcript_events(_transcript: &Transcript, _request: &TranscriptionRequest) -> Vec<String> {
    todo!()
}
