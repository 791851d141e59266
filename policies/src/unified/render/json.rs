//! The three JSON formats. What no provider tells has a neutral value, since SDKs require the field.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::unified::{Segment, Transcript, TranscriptionRequest};
use crate::vocabulary::Task;

pub(super) fn plain(transcript: &Transcript, request: &TranscriptionRequest) -> String {
    let mut body = json!({"text": transcript.text});
    add_usage(&mut body, transcript, request.task);
    body.to_string()
}

pub(super) fn verbose(transcript: &Transcript, request: &TranscriptionRequest) -> String {
    let mut body = json!({
        "task": if request.task == Task::Translation { "translate" } else { "transcribe" },
        "language": language(transcript, request),
        "duration": transcript.length(),
        "text": transcript.text,
    });
    if request.words {
        let words = transcript.timed_words();
        let words = words
            .iter()
            .map(|word| json!({"word": word.text.trim(), "start": word.start, "end": word.end}));
        body["words"] = words.collect();
    }
    if request.segments {
        let segments = transcript.segmented();
        let segments = segments.iter().enumerate();
        body["segments"] = segments
            .map(|(id, segment)| verbose_segment(id, segment, request))
            .collect();
    }
    add_usage(&mut body, transcript, request.task);
    body.to_string()
}

/// A translation is into English; else as the provider names it, or the caller. SDKs require it, so unknown is empty.
fn language<'t>(transcript: &'t Transcript, request: &'t TranscriptionRequest) -> &'t str {
    if request.task == Task::Translation {
        return "english";
    }
    let named = transcript.language.as_ref().or(request.languages.first());
    named.map_or("", String::as_str)
}

fn verbose_segment(id: usize, segment: &Segment, request: &TranscriptionRequest) -> Value {
    json!({
        "id": id,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": request.temperature.unwrap_or(0.0),
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    })
}

pub(super) fn diarized(transcript: &Transcript) -> String {
    let mut body = json!({
        "task": "transcribe",
        "duration": transcript.length(),
        "text": transcript.text,
        "segments": speakers_named(&transcript.segmented()),
    });
    add_usage(&mut body, transcript, Task::Transcription);
    body.to_string()
}

/// Segments with speakers `A`, `B`, … in the order in which they first speak. Whoever the provider does not name is
/// one more speaker.
pub(in crate::unified) fn speakers_named(segments: &[Segment]) -> Vec<Value> {
    let mut letters: HashMap<Option<&str>, String> = HashMap::new();
    let mut named = Vec::with_capacity(segments.len());
    for (nth, segment) in segments.iter().enumerate() {
        let count = letters.len();
        let speaker = letters
            .entry(segment.speaker.as_deref())
            .or_insert_with(|| speaker_letter(count));
        named.push(json!({
            "type": "transcript.text.segment",
            "id": format!("seg_{:03}", nth + 1),
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "speaker": speaker,
        }));
    }
    named
}

/// `A` to `Z`, then `AA`, as columns of a sheet are named.
fn speaker_letter(nth: usize) -> String {
    let letter = char::from(b'A' + (nth % 26) as u8);
    match nth / 26 {
        0 => letter.to_string(),
        round => speaker_letter(round - 1) + &letter.to_string(),
    }
}

/// `{"type": "duration", "seconds": …}` where the audio's length is known.
fn add_usage(body: &mut Value, transcript: &Transcript, task: Task) {
    // OpenAI's translations have no usage.
    if let (Some(seconds), false) = (transcript.known_duration(), task == Task::Translation) {
        body["usage"] = json!({"type": "duration", "seconds": seconds});
    }
}
