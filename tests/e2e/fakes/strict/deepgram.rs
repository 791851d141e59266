//! Deepgram, as its pages on `/v1/speak` and `/v1/listen` describe it.

use serde_json::{Value, json};

use super::transcript::turns;
use crate::fakes::ear::{self, Heard};
use crate::fakes::voice::{Form, Shape};
use crate::fakes::{Call, Canned, Reply, Seen};

const MOST_CHARACTERS: usize = 2_000;
const SPEAK: &[&str] = &[
    "model",
    "encoding",
    "container",
    "sample_rate",
    "bit_rate",
    "speed",
    "mip_opt_out",
    "tag",
];
const LISTEN: &[&str] = &[
    "model",
    "language",
    "detect_language",
    "smart_format",
    "punctuate",
    "diarize",
    "utterances",
    "paragraphs",
    "numerals",
    "keyterm",
    "filler_words",
    "mip_opt_out",
    "tag",
];

pub fn refuse_key() -> Canned {
    error(401, "INVALID_AUTH", "Invalid credentials.")
}

fn error(status: u16, code: &str, message: &str) -> Canned {
    Canned::json(
        status,
        json!({"err_code": code, "err_msg": message, "request_id": "dg-refused"}),
    )
}

fn invalid(message: &str) -> Canned {
    error(400, "Bad Request", message)
}

pub async fn reply(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/v1/speak") => speak(call, seen).await,
        ("POST", "/v1/listen") => listen(call, seen).await,
        ("GET", "/v1/auth/token") => {
            whole(json!({"api_key_id": "key-1", "scopes": ["usage:write"], "tags": []}))
        }
        ("GET", "/v1/projects") => {
            whole(json!({"projects": [{"project_id": "project-1", "name": "Project"}]}))
        }
        ("GET", "/v1/models") => whole(models()),
        _ => Err(error(404, "Not Found", "no such endpoint")),
    }
}

fn whole(body: Value) -> Result<Reply, Canned> {
    Ok(Reply::Whole(Canned::json(200, body)))
}

fn models() -> Value {
    let model = |name: &str, architecture: &str| {
        json!({
            "name": name, "canonical_name": name, "architecture": architecture, "languages": ["en", "en-US"],
            "version": "2025-01-01", "uuid": "00000000-0000-4000-8000-000000000001",
        })
    };
    json!({
        "stt": [model("nova-3", "nova-3"), model("nova-2", "nova-2")],
        "tts": [model("aura-2-thalia-en", "aura-2"), model("aura-asteria-en", "aura")],
    })
}

fn check_parameters(call: &Call, seen: &Seen, known: &[&str]) {
    if let Some(name) = seen.query.keys().find(|name| !known.contains(&name.as_str())) {
        call.violation(format!("no such parameter: {name}"));
    }
}

async fn speak(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    check_parameters(call, seen, SPEAK);
    let body: Value = serde_json::from_slice(&seen.body).map_err(|_| invalid("the body is no JSON"))?;
    let Some(text) = body["text"]
        .as_str()
        .filter(|_| body.as_object().is_some_and(|body| body.len() == 1))
    else {
        call.violation("the body is {\"text\"} and nothing else");
        return Err(invalid("the body is {\"text\"} and nothing else"));
    };
    if text.chars().count() > MOST_CHARACTERS {
        return Err(error(
            413,
            "Payload Too Large",
            "Input text exceeds the limit of 2000 characters.",
        ));
    }
    let model = seen.query.get("model").map_or("aura-asteria-en", String::as_str);
    if !model.starts_with("aura-") {
        return Err(invalid("No such model/version combination found."));
    }
    let (shape, content_type) = shape(seen).map_err(|message| {
        call.violation(message);
        invalid(message)
    })?;
    let sound = call.speak(text, 1.0, shape).await;
    let headers = vec![
        ("dg-request-id", "dg-speak-1".to_owned()),
        ("dg-char-count", text.chars().count().to_string()),
        ("dg-model-name", model.to_owned()),
    ];
    Ok(super::audio(content_type, headers, &sound, 4))
}

/// Which combinations of encoding, container and rate there are.
fn shape(seen: &Seen) -> Result<(Shape, &'static str), &'static str> {
    let parameter = |name: &str| seen.query.get(name).map(String::as_str);
    let rate = match parameter("sample_rate") {
        None => None,
        Some(rate) => Some(rate.parse::<u32>().map_err(|_| "sample_rate is no number")?),
    };
    let pcm_rate = rate.unwrap_or(24_000);
    if ![8_000, 16_000, 24_000, 32_000, 48_000].contains(&pcm_rate) {
        return Err("there is no such sample_rate");
    }
    match (parameter("encoding"), parameter("container"), rate) {
        (None | Some("mp3"), None, None) => Ok((Form::Mp3.at(22_050), "audio/mpeg")),
        (Some("opus"), None | Some("ogg"), None) => Ok((Form::Opus.at(48_000), "audio/ogg;codecs=opus")),
        (Some("flac"), None, _) => Ok((Form::Flac.at(pcm_rate), "audio/flac")),
        (Some("aac"), None, None) => Ok((Form::Aac.at(22_050), "audio/aac")),
        (Some("linear16"), None | Some("wav"), _) => Ok((Form::Wav.at(pcm_rate), "audio/wav")),
        (Some("linear16"), Some("none"), _) => Ok((Form::Pcm.at(pcm_rate), "audio/l16")),
        _ => Err("encoding, container and sample_rate do not go together"),
    }
}

async fn listen(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    check_parameters(call, seen, LISTEN);
    if seen
        .header("content-type")
        .is_none_or(|kind| kind.starts_with("multipart/") || kind.contains("json"))
    {
        call.violation("the body is the audio, with its type");
        return Err(error(415, "UNSUPPORTED_MEDIA_TYPE", "audio is expected"));
    }
    let model = seen.query.get("model").map_or("base", String::as_str);
    if !["nova-3", "nova-2", "base"].contains(&model) {
        return Err(invalid("No such model/language/tier combination found."));
    }
    let heard = ear::listen(&seen.body)
        .await
        .map_err(|_| invalid("failed to process audio: corrupt or unsupported data"))?;
    let diarize = seen.query.get("diarize").is_some_and(|value| value == "true");
    whole(answer(&heard, diarize))
}

fn answer(heard: &Heard, diarize: bool) -> Value {
    let mut words = Vec::new();
    for turn in turns(heard, diarize) {
        for word in turn.words {
            let mut item = json!({
                "word": word.word, "punctuated_word": word.word, "start": word.start, "end": word.end,
                "confidence": 0.98,
            });
            if diarize {
                item["speaker"] = json!(turn.speaker);
            }
            words.push(item);
        }
    }
    let alternative = json!({"transcript": heard.text(), "confidence": 0.98, "words": words});
    json!({
        "metadata": {
            "request_id": "dg-listen-1", "duration": heard.seconds, "channels": 1, "models": [],
            "created": "2026-11-26T00:00:00.000Z", "sha256": "0",
        },
        "results": {"channels": [{"alternatives": [alternative], "detected_language": "en"}]},
    })
}
