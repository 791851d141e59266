//! Cartesia, as its API reference describes `/tts/bytes` and `/stt`.

use serde_json::{Map, Value, json};

use crate::fakes::ear;
use crate::fakes::request::{self, Part};
use crate::fakes::voice::{Form, Shape};
use crate::fakes::{Call, Canned, Reply, Seen};

pub const VOICE: &str = "a0e99841-438c-4a64-b679-ae501e7d6091";
const SPEECH: &[&str] = &[
    "model_id",
    "transcript",
    "voice",
    "output_format",
    "language",
    "generation_config",
    "speed",
    "duration",
    "save",
];
const MODELS: &[&str] = &["sonic-3.5", "sonic-3", "sonic-2", "sonic-latest"];

pub fn refuse_key() -> Canned {
    error(401, "unauthorized", "Invalid API key")
}

fn error(status: u16, code: &str, message: &str) -> Canned {
    Canned::json(
        status,
        json!({"error_code": code, "title": "Error", "message": message, "request_id": "ca-refused"}),
    )
}

fn invalid(message: &str) -> Canned {
    error(400, "invalid_request", message)
}

pub async fn reply(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    let is_date = |text: &str| text.len() == 10 && text.split('-').map(str::len).eq([4, 2, 2]);
    if !seen.header("cartesia-version").is_some_and(is_date) {
        call.violation("Cartesia-Version is missing or is no date");
        return Err(invalid("Cartesia-Version header is required"));
    }
    match (seen.method.as_str(), seen.path.trim_end_matches('/')) {
        ("POST", "/tts/bytes") => speech(call, seen).await,
        ("POST", "/stt") => transcription(call, seen).await,
        ("GET", "/voices") => Ok(Reply::Whole(Canned::json(200, voices()))),
        _ => Err(error(404, "not_found", "no such endpoint")),
    }
}

fn voices() -> Value {
    let voice = json!({
        "id": VOICE, "name": "Katie", "language": "en", "is_owner": false, "is_public": true,
        "description": "a voice", "created_at": "2025-01-01T00:00:00Z",
    });
    json!({"data": [voice], "has_more": false, "next_page": null})
}

async fn speech(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    let body: Map<String, Value> =
        serde_json::from_slice(&seen.body).map_err(|_| invalid("the body is no JSON"))?;
    if let Some(name) = body.keys().find(|name| !SPEECH.contains(&name.as_str())) {
        call.violation(format!("no such field: {name}"));
    }
    let body = Value::Object(body);
    let Some(text) = body["transcript"].as_str() else {
        call.violation("transcript is required");
        return Err(invalid("transcript is required"));
    };
    if !MODELS.iter().any(|model| body["model_id"] == *model) {
        return Err(error(404, "model_not_found", "The model is not valid."));
    }
    if body["voice"]["mode"] != "id" || !body["voice"]["id"].is_string() {
        call.violation("voice is {mode: id, id}");
        return Err(invalid("voice is not valid"));
    }
    let (shape, content_type) = shape(&body["output_format"]).map_err(|message| {
        call.violation(message);
        invalid(message)
    })?;
    if body["voice"]["id"] != VOICE {
        return Err(error(404, "voice_not_found", "The voice was not found."));
    }
    let sound = call.speak(text, 1.0, shape).await;
    Ok(super::audio(content_type, Vec::new(), &sound, 4))
}

fn shape(format: &Value) -> Result<(Shape, &'static str), &'static str> {
    let rate = format["sample_rate"].as_u64().ok_or("sample_rate is required")? as u32;
    if ![8_000, 16_000, 22_050, 24_000, 44_100, 48_000].contains(&rate) {
        return Err("there is no such sample_rate");
    }
    match (
        format["container"].as_str(),
        format["encoding"].as_str(),
        format["bit_rate"].as_u64(),
    ) {
        (Some("mp3"), None, Some(32_000 | 64_000 | 96_000 | 128_000 | 192_000)) => {
            Ok((Form::Mp3.at(rate), "audio/mpeg"))
        }
        (Some("wav"), Some("pcm_s16le"), None) => Ok((Form::Wav.at(rate), "audio/wav")),
        (Some("raw"), Some("pcm_s16le"), None) => Ok((Form::Pcm.at(rate), "audio/pcm")),
        _ => Err("container, encoding and bit_rate do not go together"),
    }
}

async fn transcription(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    const FIELDS: &[&str] = &["file", "model", "language", "timestamp_granularities[]"];
    let parts = request::multipart(seen).ok_or_else(|| invalid("multipart/form-data is expected"))?;
    if let Some(part) = parts.iter().find(|part| !FIELDS.contains(&part.name.as_str())) {
        call.violation(format!("no such field: {}", part.name));
    }
    let text = |name: &str| parts.iter().find(|part| part.name == name).map(Part::text);
    if text("model") != Some("ink-whisper") {
        return Err(error(404, "model_not_found", "The model is not valid."));
    }
    let file = parts.iter().find(|part| part.name == "file" && part.is_file);
    let file = file.ok_or_else(|| invalid("file is required"))?;
    let heard = ear::listen(&file.content)
        .await
        .map_err(|_| invalid("the file is no audio"))?;
    let mut answer = json!({"text": heard.text(), "language": "en", "duration": heard.seconds});
    if text("timestamp_granularities[]") == Some("word") {
        let words = heard
            .words
            .iter()
            .map(|word| json!({"word": word.word, "start": word.start, "end": word.end}));
        answer["words"] = words.collect();
    }
    Ok(Reply::Whole(Canned::json(200, answer)))
}
