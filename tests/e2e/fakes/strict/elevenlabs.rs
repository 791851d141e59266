//! Speech and transcription of ElevenLabs.

use serde_json::{Value, json};

use super::transcript::{Turn, turns};
use crate::fakes::ear::{self, Heard};
use crate::fakes::elevenlabs::{error, unprocessable};
use crate::fakes::schema::Spec;
use crate::fakes::voice::{Form, Shape};
use crate::fakes::{Call, Canned, Reply, Seen, request};

pub const VOICES: &[&str] = &[
    crate::fakes::elevenlabs::VOICE,
    "pNInz6obpgDQGcFmaJgB",
    "JBFqnCBsd6RMkjVDRZzb",
    "EXAVITQu4vr4xnSDxMaL",
];

/// Model and the most characters that it speaks at once.
const MODELS: &[(&str, usize)] = &[
    ("eleven_multilingual_v2", 10_000),
    ("eleven_flash_v2_5", 40_000),
    ("eleven_flash_v2", 30_000),
    ("eleven_turbo_v2_5", 40_000),
    ("eleven_v3", 3_000),
    ("eleven_v4", 10_000),
    ("eleven_v4_turbo", 10_000),
];

const PARAMETERS: &[&str] = &["output_format", "enable_logging", "optimize_streaming_latency"];

pub async fn reply(call: &Call, seen: &Seen) -> Option<Result<Reply, Canned>> {
    let path: Vec<&str> = seen.path.trim_start_matches('/').split('/').collect();
    match (seen.method.as_str(), path.as_slice()) {
        ("POST", ["v1", "text-to-speech", voice]) => Some(speech(call, seen, voice, false).await),
        ("POST", ["v1", "text-to-speech", voice, "stream"]) => Some(speech(call, seen, voice, true).await),
        ("POST", ["v1", "speech-to-text"]) => Some(transcript(call, seen).await),
        _ => None,
    }
}

async fn speech(call: &Call, seen: &Seen, voice: &str, streams: bool) -> Result<Reply, Canned> {
    let schema = if streams {
        "Body_text_to_speech_stream"
    } else {
        "Body_text_to_speech_full"
    };
    let body: Value =
        serde_json::from_slice(&seen.body).map_err(|_| unprocessable(&["body"], "JSON decode error"))?;
    if let Some(refusal) = Spec::ElevenLabs.refuses(schema, &body) {
        call.violation(&refusal);
        return Err(unprocessable(&["body"], &refusal));
    }
    if let Some(name) = seen
        .query
        .keys()
        .find(|name| !PARAMETERS.contains(&name.as_str()))
    {
        call.violation(format!("no such parameter: {name}"));
    }
    let text = body["text"].as_str().expect("the schema says so");
    check_text(text, &body)?;
    if !VOICES.contains(&voice) {
        return Err(error(
            404,
            "voice_not_found",
            "A voice with this id was not found.",
        ));
    }
    let asked = seen
        .query
        .get("output_format")
        .map_or("mp3_44100_128", String::as_str);
    let shape = shape(asked).ok_or_else(|| error(400, "invalid_parameters", "no such output_format"))?;
    if shape.form == Form::Wav && streams {
        call.violation("wav is not offered for streaming");
        return Err(error(
            400,
            "invalid_parameters",
            "wav is not offered for streaming",
        ));
    }
    let sound = call.speak(text, speed(call, &body)?, shape).await;
    let headers = vec![
        ("request-id", format!("el-{}", &request::sha256(&seen.body)[..12])),
        ("character-cost", text.chars().count().to_string()),
    ];
    // The document declares one type for every success, whatever the format.
    Ok(super::audio(
        "audio/mpeg",
        headers,
        &sound,
        if streams { 6 } else { 1 },
    ))
}

fn check_text(text: &str, body: &Value) -> Result<(), Canned> {
    let model = body["model_id"].as_str().unwrap_or("eleven_multilingual_v2");
    let Some((_, limit)) = MODELS.iter().find(|(name, _)| *name == model) else {
        let message = format!("A model with model ID {model} does not exist.");
        return Err(error(400, "model_not_found", &message));
    };
    if text.chars().count() > *limit {
        let message = format!("This request's text is longer than the limit of {limit} characters.");
        return Err(error(400, "max_character_limit_exceeded", &message));
    }
    Ok(())
}

fn speed(call: &Call, body: &Value) -> Result<f64, Canned> {
    let speed = body["voice_settings"]["speed"].as_f64().unwrap_or(1.0);
    if (0.7..=1.2).contains(&speed) {
        return Ok(speed);
    }
    call.violation(format!("speed {speed} is out of range"));
    Err(error(
        400,
        "invalid_voice_settings",
        "speed must be between 0.7 and 1.2",
    ))
}

/// `codec_rate[_bitrate]`, of those that the document lists.
pub fn shape(format: &str) -> Option<Shape> {
    let mut words = format.split('_');
    let (codec, rate, bitrate) = (words.next()?, words.next()?.parse().ok()?, words.next());
    let pcm_rates = [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
    match (codec, rate, bitrate) {
        ("mp3", 22_050, Some("32")) | ("mp3", 24_000, Some("48")) => Some(Form::Mp3.at(rate)),
        ("mp3", 44_100, Some("32" | "64" | "96" | "128" | "192")) => Some(Form::Mp3.at(rate)),
        ("opus", 48_000, Some("32" | "64" | "96" | "128" | "192")) => Some(Form::Opus.at(rate)),
        ("pcm", rate, None) if pcm_rates.contains(&rate) => Some(Form::Pcm.at(rate)),
        ("ulaw", 8_000, None) => Some(Form::Ulaw.at(rate)),
        ("alaw", 8_000, None) => Some(Form::Alaw.at(rate)),
        ("wav", rate, None) if pcm_rates.contains(&rate) => Some(Form::Wav.at(rate)),
        _ => None,
    }
}

async fn transcript(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    const SCHEMA: &str = "Body_Speech_to_Text_v1_speech_to_text_post";
    let parts = request::multipart(seen).ok_or_else(|| unprocessable(&["body"], "Field required"))?;
    let form = Spec::ElevenLabs.form(SCHEMA, &parts);
    if let Some(refusal) = Spec::ElevenLabs.refuses(SCHEMA, &form) {
        call.violation(&refusal);
        return Err(unprocessable(&["body"], &refusal));
    }
    let file = parts.iter().find(|part| part.name == "file" && part.is_file);
    let file = file.ok_or_else(|| error(400, "invalid_parameters", "file or source_url is required"))?;
    let heard = ear::listen(&file.content)
        .await
        .map_err(|_| error(400, "invalid_file", "The file is corrupted or no audio."))?;
    let answer = Canned::json(200, answer(&heard, &form)).header("request-id", "el-stt-1");
    Ok(Reply::Whole(answer))
}

fn answer(heard: &Heard, form: &Value) -> Value {
    let diarize = form["diarize"] == true;
    let timed = form["timestamps_granularity"] != "none";
    let mut words: Vec<Value> = Vec::new();
    for turn in turns(heard, diarize) {
        words.extend(items(&turn, diarize, timed, !words.is_empty()));
    }
    json!({
        "language_code": "eng", "language_probability": 0.98, "text": heard.text(), "words": words,
        "transcription_id": "tr-1", "audio_duration_secs": heard.seconds,
    })
}

/// Words and the spaces between them.
fn items(turn: &Turn, diarize: bool, timed: bool, mut preceded: bool) -> Vec<Value> {
    let mut items = Vec::new();
    let item = |text: &str, kind: &str, start: f64, end: f64| {
        let mut item = json!({"text": text, "type": kind, "logprob": -0.1});
        if timed {
            item["start"] = json!(start);
            item["end"] = json!(end);
        }
        if diarize {
            item["speaker_id"] = json!(format!("speaker_{}", turn.speaker));
        }
        item
    };
    for word in turn.words {
        if preceded {
            items.push(item(" ", "spacing", word.start, word.start));
        }
        preceded = true;
        items.push(item(&word.word, "word", word.start, word.end));
    }
    items
}
