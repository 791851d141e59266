//! The server-sent events of `stream_format=sse` and `stream=true`.
//!
//! The last event says that it is the last; no `[DONE]` follows, as OpenAI sends none for audio.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::render::speakers_named;
use super::sentences::sentences;
use super::{Transcript, TranscriptionRequest};
use crate::meter::Reading;
use crate::vocabulary::TranscriptFormat;

/// One `speech.audio.delta`, complete with its blank line.
pub fn speech_delta(audio: &[u8]) -> String {
    const BEFORE: &str = r#"data: {"type":"speech.audio.delta","audio":""#;
    const BEHIND: &str = "\"}\n\n";
    let mut event = String::with_capacity(BEFORE.len() + audio.len().div_ceil(3) * 4 + BEHIND.len());
    event.push_str(BEFORE);
    STANDARD.encode_string(audio, &mut event);
    event.push_str(BEHIND);
    event
}

/// `speech.audio.done`. Its usage counts tokens and SDKs require it: where the provider counts none it says 0, since
/// characters are no tokens.
pub fn speech_done(reading: &Reading) -> String {
    let read = reading.tokens_in.unwrap_or(0);
    let made = reading.tokens_out.unwrap_or(0);
    event(&json!({
        "type": "speech.audio.done",
        "usage": {
            "input_tokens": read,
            "output_tokens": made,
            "total_tokens": read.saturating_add(made),
        },
    }))
}

/// `transcript.text.delta` …, `transcript.text.segment` … where speakers were asked for, `transcript.text.done`.
///
/// The deltas joined are the text. The last event has no usage, which would have to count tokens.
pub fn transcript_events(transcript: &Transcript, request: &TranscriptionRequest) -> Vec<String> {
    let mut events = if request.format == TranscriptFormat::DiarizedJson {
        spoken(transcript)
    } else {
        deltas(transcript)
    };
    events.push(event(
        &json!({"type": "transcript.text.done", "text": transcript.text}),
    ));
    events
}

fn deltas(transcript: &Transcript) -> Vec<String> {
    let deltas = sentences(&transcript.text).into_iter();
    deltas
        .map(|delta| event(&json!({"type": "transcript.text.delta", "delta": delta})))
        .collect()
}

/// Each segment behind its own delta. Where the segments do not read like the text, as with speakers at once, they
/// all stand behind the text's sentences.
fn spoken(transcript: &Transcript) -> Vec<String> {
    let segments = transcript.segmented();
    let named = speakers_named(&segments);
    let Some(slices) = transcript.slices(segments.iter().map(|segment| segment.text.as_str())) else {
        return deltas(transcript)
            .into_iter()
            .chain(named.iter().map(event))
            .collect();
    };
    let pairs = slices.into_iter().zip(&named).map(|(delta, segment)| {
        let delta = json!({"type": "transcript.text.delta", "delta": delta, "segment_id": segment["id"]});
        [event(&delta), event(segment)]
    });
    pairs.flatten().collect()
}

fn event(content: &Value) -> String {
    format!("data: {content}\n\n")
}
