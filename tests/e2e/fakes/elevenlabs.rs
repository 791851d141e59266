//! ElevenLabs, as its OpenAPI document and the error pages describe it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::audio::{self, Container};
use super::request::{self, Part};
use super::{Canned, Reply, Seen};

pub const VOICE: &str = "21m00Tcm4TlvDq8ikWAM";
const PIECES: usize = 6;
const PAUSE: Duration = Duration::from_millis(80);

pub fn refuse_key() -> Canned {
    error(401, "invalid_api_key", "Invalid API key")
}

pub fn missing_permission(permission: &str) -> Canned {
    let message =
        format!("The API key you used is missing the permission {permission} to execute this operation.");
    error(401, "missing_permissions", &message)
}

pub fn quota_exceeded() -> Canned {
    error(
        401,
        "quota_exceeded",
        "This request exceeds your quota of 10000. You have 0 credits remaining.",
    )
}

pub fn unusual_activity() -> Canned {
    error(
        401,
        "detected_unusual_activity",
        "Unusual activity detected. Free Tier usage disabled.",
    )
}

pub fn too_many_requests() -> Canned {
    error(
        429,
        "too_many_concurrent_requests",
        "Too many concurrent requests for your subscription.",
    )
}

pub fn system_busy() -> Canned {
    error(
        503,
        "system_busy",
        "The system is experiencing heavy traffic, please try again.",
    )
}

pub fn error(status: u16, code: &str, message: &str) -> Canned {
    Canned::json(status, json!({"detail": {"status": code, "message": message}}))
        .header("request-id", "el-refused")
}

pub fn unprocessable(place: &[&str], message: &str) -> Canned {
    Canned::json(
        422,
        json!({"detail": [{"loc": place, "msg": message, "type": "value_error"}]}),
    )
}

pub fn reply(seen: &Seen) -> Result<Reply, Canned> {
    let path: Vec<&str> = seen.path.trim_start_matches('/').split('/').collect();
    match (seen.method.as_str(), path.as_slice()) {
        ("POST", ["v1", "text-to-speech", voice]) => speech(seen, voice, 1),
        ("POST", ["v1", "text-to-speech", voice, "stream"]) => speech(seen, voice, PIECES),
        ("POST", ["v1", "text-to-speech", voice, "with-timestamps"]) => timed_speech(seen, voice),
        ("POST", ["v1", "speech-to-text"]) => transcript(seen),
        ("GET", ["v1", "models"]) => Ok(Reply::Whole(Canned::json(200, models()))),
        ("GET", ["v1" | "v2", "voices"]) => Ok(Reply::Whole(Canned::json(200, voices()))),
        ("GET", ["v1", "voices", VOICE]) => Ok(Reply::Whole(Canned::json(200, voice(VOICE, "Rachel")))),
        ("GET", ["v1", "user", "subscription"]) => Ok(Reply::Whole(Canned::json(200, subscription()))),
        _ => Err(Canned::json(404, json!({"detail": "Not Found"}))),
    }
}

fn speech(seen: &Seen, voice: &str, pieces: usize) -> Result<Reply, Canned> {
    let (text, asked) = check_speech(seen, voice)?;
    let format = seen
        .query
        .get("output_format")
        .map_or("mp3_44100_128", String::as_str);
    let container = Container::of_format(format);
    if container == Container::Wav && pieces > 1 {
        return Err(error(
            400,
            "invalid_parameters",
            "wav is not offered for streaming",
        ));
    }
    let sound = audio::speak(container, &format!("{asked} {format}"), 24_000);
    let size = sound.len().div_ceil(pieces);
    let pieces = (0..sound.len())
        .step_by(size)
        .map(|at| sound.slice(at..(at + size).min(sound.len())));
    Ok(Reply::Audio {
        content_type: container.content_type(),
        headers: vec![
            (
                "request-id",
                format!("el-{}", &request::sha256(asked.as_bytes())[..12]),
            ),
            ("character-cost", text.chars().count().to_string()),
            ("x-trace-id", "trace-kept".to_owned()),
        ],
        pieces: pieces.collect(),
        pause: PAUSE,
    })
}

fn timed_speech(seen: &Seen, voice: &str) -> Result<Reply, Canned> {
    let (text, asked) = check_speech(seen, voice)?;
    let sound = audio::speak(Container::Mp3, &asked, 3_000);
    let characters: Vec<String> = text.chars().map(String::from).collect();
    let starts: Vec<f64> = (0..characters.len()).map(|n| n as f64 / 16.0).collect();
    let ends: Vec<f64> = (1..=characters.len()).map(|n| n as f64 / 16.0).collect();
    Ok(Reply::Whole(Canned::json(
        200,
        json!({
            "audio_base64": STANDARD.encode(sound),
            "alignment": {
                "characters": characters,
                "character_start_times_seconds": starts,
                "character_end_times_seconds": ends,
            },
        }),
    )))
}

/// The text, and everything that the audio depends on.
fn check_speech(seen: &Seen, voice: &str) -> Result<(String, String), Canned> {
    if !seen
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/json"))
    {
        return Err(unprocessable(
            &["body"],
            "Input should be a valid dictionary or object",
        ));
    }
    let body: Value =
        serde_json::from_slice(&seen.body).map_err(|_| unprocessable(&["body"], "JSON decode error"))?;
    let Some(text) = body["text"].as_str() else {
        return Err(unprocessable(&["body", "text"], "Field required"));
    };
    if body
        .get("model_id")
        .is_some_and(|model| !model.is_string() && !model.is_null())
    {
        return Err(unprocessable(
            &["body", "model_id"],
            "Input should be a valid string",
        ));
    }
    if body
        .get("voice_settings")
        .is_some_and(|settings| !settings.is_object() && !settings.is_null())
    {
        return Err(unprocessable(
            &["body", "voice_settings"],
            "Input should be a valid dictionary",
        ));
    }
    if voice != VOICE {
        return Err(error(
            404,
            "voice_not_found",
            "A voice with this id was not found.",
        ));
    }
    let model = body["model_id"].as_str().unwrap_or("eleven_multilingual_v2");
    Ok((text.to_owned(), format!("{voice} {model} {text}")))
}

fn transcript(seen: &Seen) -> Result<Reply, Canned> {
    // Bodies too large to keep are compared by their hash.
    let heard = match seen.received {
        received if received > seen.body.len() as u64 => seen.sha256.clone().unwrap_or_default(),
        _ => {
            let parts = request::multipart(seen).ok_or_else(|| unprocessable(&["body"], "Field required"))?;
            let model = parts.iter().find(|part| part.name == "model_id").map(Part::text);
            if !matches!(model, Some("scribe_v1" | "scribe_v2")) {
                return Err(unprocessable(&["body", "model_id"], "Field required"));
            }
            let file = parts.iter().find(|part| part.name == "file" && part.is_file);
            let file =
                file.ok_or_else(|| error(400, "invalid_parameters", "file or source_url is required"))?;
            request::sha256(&file.content)
        }
    };
    let text = format!("heard {}", &heard[..16]);
    let words = [
        ("heard", 0.0, 0.5, "word"),
        (" ", 0.5, 0.6, "spacing"),
        (&heard[..16], 0.6, 1.5, "word"),
    ];
    let words: Vec<Value> = words
        .iter()
        .map(|(text, start, end, kind)| {
            json!({"text": text, "start": start, "end": end, "type": kind, "logprob": -0.1, "speaker_id": "speaker_0"})
        })
        .collect();
    let answer = json!({
        "language_code": "eng", "language_probability": 0.98, "text": text, "words": words,
        "transcription_id": "tr-1", "audio_duration_secs": 1.5,
    });
    Ok(Reply::Whole(
        Canned::json(200, answer).header("request-id", "el-stt-1"),
    ))
}

fn models() -> Value {
    let model = |id: &str, name: &str, factor: f64| {
        json!({
            "model_id": id, "name": name, "description": name, "can_do_text_to_speech": true,
            "can_do_voice_conversion": false, "can_be_finetuned": false, "can_use_style": true,
            "can_use_speaker_boost": true, "serves_pro_voices": false, "requires_alpha_access": false,
            "token_cost_factor": factor, "languages": [{"language_id": "en", "name": "English"}],
            "max_characters_request_free_user": 2500, "max_characters_request_subscribed_user": 10000,
            "maximum_text_length_per_request": 10000, "concurrency_group": "standard",
            "model_rates": {"character_cost_multiplier": factor, "cost_discount_multiplier": 1.0},
        })
    };
    json!([
        model("eleven_multilingual_v2", "Eleven Multilingual v2", 1.0),
        model("eleven_flash_v2_5", "Eleven Flash v2.5", 0.5),
    ])
}

fn voices() -> Value {
    let voices = [voice(VOICE, "Rachel"), voice("pNInz6obpgDQGcFmaJgB", "Adam")];
    json!({"voices": voices, "has_more": false, "total_count": 2, "next_page_token": null})
}

fn voice(id: &str, name: &str) -> Value {
    json!({
        "voice_id": id, "name": name, "category": "premade", "labels": {"gender": "female", "accent": "american"},
        "preview_url": "https://storage.example/preview.mp3",
        "verified_languages": [{"language": "en", "model_id": "eleven_multilingual_v2", "accent": "american"}],
        "high_quality_base_model_ids": ["eleven_multilingual_v2"], "samples": null,
    })
}

fn subscription() -> Value {
    json!({
        "tier": "creator", "status": "active", "character_count": 1200, "character_limit": 100000,
        "max_character_limit_extension": null, "can_extend_character_limit": true,
        "allowed_to_extend_character_limit": true, "next_character_count_reset_unix": 1_798_761_600,
        "voice_slots_used": 1, "professional_voice_slots_used": 0, "voice_limit": 30, "voice_add_edit_counter": 0,
        "professional_voice_limit": 1, "can_extend_voice_limit": true, "can_use_instant_voice_cloning": true,
        "can_use_professional_voice_cloning": true, "current_overage": {"amount": "0", "currency": "usd"},
        "currency": "usd", "open_invoices": [], "has_open_invoices": false,
    })
}
