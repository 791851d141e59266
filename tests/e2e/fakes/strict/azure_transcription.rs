//! Azure's fast transcription.

use serde_json::{Value, json};

use super::transcript::{Turn, milliseconds, turns};
use crate::fakes::azure::{check_version, problem};
use crate::fakes::ear::{self, Heard};
use crate::fakes::request::{self, Part};
use crate::fakes::schema::Spec;
use crate::fakes::{Call, Canned, Reply, Seen};

const LOCALES: &[&str] = &[
    "de-DE", "en-GB", "en-US", "es-ES", "fr-FR", "ja-JP", "zh-CN", "zh-TW",
];

/// What every recording means in English.
pub const TRANSLATION: &str = "This was said in another language.";

pub async fn reply(call: &Call, seen: &Seen) -> Option<Result<Reply, Canned>> {
    match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/speechtotext/transcriptions:transcribe") => Some(transcription(call, seen).await),
        _ => None,
    }
}

async fn transcription(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    check_version(seen)?;
    let parts = request::multipart(seen)
        .ok_or_else(|| problem(415, "UnsupportedMediaType", "multipart/form-data is expected"))?;
    if let Some(part) = parts
        .iter()
        .find(|part| !["audio", "definition"].contains(&part.name.as_str()))
    {
        call.violation(format!("no such part: {}", part.name));
    }
    let definition = definition(call, &parts)?;
    let audio = parts
        .iter()
        .find(|part| part.name == "audio" && part.is_file && !part.content.is_empty());
    let audio = audio.ok_or_else(|| problem(400, "EmptyAudioFile", "The audio is missing."))?;
    let heard = ear::listen(&audio.content)
        .await
        .map_err(|_| problem(422, "InvalidAudioFormat", "The audio cannot be decoded."))?;
    let enhanced = &definition["enhancedMode"];
    let answer = if enhanced["enabled"] == true && enhanced["task"] == "translate" {
        translated(&heard)
    } else {
        transcribed(&heard, definition["diarization"]["enabled"] == true)
    };
    Ok(Reply::Whole(Canned::json(200, answer)))
}

fn definition(call: &Call, parts: &[Part]) -> Result<Value, Canned> {
    let text = parts
        .iter()
        .find(|part| part.name == "definition")
        .map(Part::text);
    let definition: Value = text
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| problem(400, "InvalidRequest", "The definition is missing or is not JSON."))?;
    if let Some(refusal) = Spec::Azure.refuses("TranscribeDefinition", &definition) {
        call.violation(&refusal);
        return Err(problem(400, "InvalidRequest", &refusal));
    }
    for locale in definition["locales"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !locale.contains('-') {
            call.violation(format!("locale {locale} names no region"));
        }
        if !LOCALES.contains(&locale) {
            return Err(problem(
                400,
                "InvalidLocale",
                "The specified locale is not supported.",
            ));
        }
    }
    Ok(definition)
}

fn transcribed(heard: &Heard, diarize: bool) -> Value {
    let phrases: Vec<Value> = turns(heard, diarize)
        .iter()
        .map(|turn| phrase(turn, diarize))
        .collect();
    json!({
        "durationMilliseconds": milliseconds(heard.seconds),
        "combinedPhrases": [{"channel": 0, "text": heard.text()}], "phrases": phrases,
    })
}

fn phrase(turn: &Turn, diarize: bool) -> Value {
    let timed = |text: &str, start: f64, end: f64| {
        let offset = milliseconds(start);
        json!({"text": text, "offsetMilliseconds": offset, "durationMilliseconds": milliseconds(end) - offset})
    };
    let words = turn
        .words
        .iter()
        .map(|word| timed(&word.word, word.start, word.end));
    let mut phrase = timed(&turn.text(), turn.start(), turn.end());
    phrase["words"] = words.collect();
    phrase["locale"] = json!("en-US");
    phrase["confidence"] = json!(0.93);
    if diarize {
        phrase["speaker"] = json!(turn.speaker + 1);
    }
    phrase
}

fn translated(heard: &Heard) -> Value {
    let duration = milliseconds(heard.seconds);
    json!({
        "durationMilliseconds": duration, "combinedPhrases": [{"text": TRANSLATION}],
        "phrases": [{
            "offsetMilliseconds": 0, "durationMilliseconds": duration, "text": TRANSLATION, "locale": "en-US",
            "confidence": 0,
        }],
    })
}
