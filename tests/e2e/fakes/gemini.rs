//! Gemini's Generative Language API, as its OpenAPI document and the pages on speech describe it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use super::audio::{self, Container};
use super::request;
use super::sockets::gemini_live::{CONVERSES, TRANSCRIBES};
use super::{Canned, Reply, Seen};

pub const TTS: &str = "gemini-3.8-flash-tts";
pub const STT: &str = "gemini-3.5-transcribe";
const PIECES: usize = 5;
const PAUSE: Duration = Duration::from_millis(80);

/// Three mistakes, three answers: no key at all, another kind of credential, a key that is not known.
pub fn refuse_key(seen: &Seen) -> Canned {
    if seen.headers.contains_key("authorization") {
        return error(
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials.",
            Some("ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        );
    }
    if seen.header("x-goog-api-key").is_none_or(str::is_empty) {
        let message = "Method doesn't allow unregistered callers. Please use API Key or other form of API consumer identity.";
        return error(403, "PERMISSION_DENIED", message, None);
    }
    unknown_key()
}

pub fn unknown_key() -> Canned {
    error(
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        Some("API_KEY_INVALID"),
    )
}

pub fn standard_key() -> Canned {
    error(
        401,
        "UNAUTHENTICATED",
        "API keys of this kind are not supported.",
        Some("ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    )
}

pub fn leaked_key() -> Canned {
    error(
        403,
        "PERMISSION_DENIED",
        "Your API key was reported as leaked. Please use another API key.",
        None,
    )
}

pub fn service_disabled() -> Canned {
    let message = "Generative Language API has not been used in project 1 before or it is disabled.";
    error(403, "PERMISSION_DENIED", message, Some("SERVICE_DISABLED"))
}

pub fn wrong_location() -> Canned {
    error(
        400,
        "FAILED_PRECONDITION",
        "User location is not supported for the API use.",
        None,
    )
}

pub fn per_minute_limit() -> Canned {
    exhausted("GenerateRequestsPerMinutePerProjectPerModel", Some("27s"))
}

pub fn per_day_limit() -> Canned {
    exhausted("GenerateRequestsPerDayPerProjectPerModel-FreeTier", None)
}

fn exhausted(quota: &str, delay: Option<&str>) -> Canned {
    let violation =
        json!({"quotaMetric": "generativelanguage.googleapis.com/generate_requests", "quotaId": quota});
    let mut details =
        vec![json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})];
    if let Some(delay) = delay {
        details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
    }
    let message = "You exceeded your current quota, please check your plan and billing details.";
    let error = json!({"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details});
    Canned::json(429, json!({ "error": error }))
}

fn error(code: u16, status: &str, message: &str, reason: Option<&str>) -> Canned {
    let mut error = json!({"code": code, "message": message, "status": status});
    if let Some(reason) = reason {
        error["details"] = json!([{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        }]);
    }
    Canned::json(code, json!({ "error": error }))
}

pub fn invalid(message: &str) -> Canned {
    error(400, "INVALID_ARGUMENT", message, None)
}

pub fn reply(seen: &Seen) -> Result<Reply, Canned> {
    let path: Vec<&str> = seen.path.trim_start_matches('/').split('/').collect();
    let not_found = || error(404, "NOT_FOUND", "Requested entity was not found.", None);
    match (seen.method.as_str(), path.as_slice()) {
        ("GET", ["v1" | "v1beta", "models"]) => Ok(Reply::Whole(Canned::json(200, models()))),
        ("GET", ["v1" | "v1beta", "models", TTS]) => Ok(Reply::Whole(Canned::json(200, model(TTS)))),
        ("POST", ["v1" | "v1beta", "models", call]) => {
            let body: Value =
                serde_json::from_slice(&seen.body).map_err(|_| invalid("Invalid JSON payload received."))?;
            let contents = body["contents"]
                .as_array()
                .ok_or_else(|| invalid("contents is not specified"))?;
            match call.split_once(':') {
                Some((TTS, "generateContent")) => whole_speech(&body),
                Some((TTS, "streamGenerateContent")) => streamed_speech(seen, &body),
                Some((STT, "generateContent")) => transcript(contents),
                Some((TTS | STT, "countTokens")) => {
                    Ok(Reply::Whole(Canned::json(200, json!({"totalTokens": 7}))))
                }
                _ => Err(not_found()),
            }
        }
        _ => Err(not_found()),
    }
}

/// A field in either spelling, as Google's parser takes it.
fn field<'a>(object: &'a Value, camel: &str, snake: &str) -> &'a Value {
    match &object[camel] {
        Value::Null => &object[snake],
        found => found,
    }
}

/// The text and voice, once the request is one for audio.
fn check_speech(body: &Value) -> Result<(String, String), Canned> {
    let text = body["contents"][0]["parts"][0]["text"]
        .as_str()
        .ok_or_else(|| invalid("no text to speak"))?;
    let config = field(body, "generationConfig", "generation_config");
    let modalities = field(config, "responseModalities", "response_modalities");
    if modalities != &json!(["AUDIO"]) {
        return Err(invalid(
            "The requested combination of response modalities (TEXT) is not supported by the model.",
        ));
    }
    if !config["temperature"].is_null() {
        return Err(invalid("temperature is not supported by the model"));
    }
    let speech = field(config, "speechConfig", "speech_config");
    let voice = field(
        field(speech, "voiceConfig", "voice_config"),
        "prebuiltVoiceConfig",
        "prebuilt_voice_config",
    );
    let voice = field(voice, "voiceName", "voice_name").as_str().unwrap_or("Kore");
    Ok((text.to_owned(), voice.to_owned()))
}

fn whole_speech(body: &Value) -> Result<Reply, Canned> {
    let (text, voice) = check_speech(body)?;
    let sound = audio::speak(Container::Wav, &format!("{voice} {text}"), 24_000);
    let part = json!({"inlineData": {"mimeType": "audio/wav", "data": STANDARD.encode(sound)}});
    Ok(Reply::Whole(Canned::json(
        200,
        candidate(part, &text, Some("STOP"), 12),
    )))
}

fn streamed_speech(seen: &Seen, body: &Value) -> Result<Reply, Canned> {
    let (text, voice) = check_speech(body)?;
    if seen.query.get("alt").map(String::as_str) != Some("sse") {
        return Err(invalid("this fake streams server-sent events only"));
    }
    let pieces = (0..PIECES).map(|n| {
        let sound = audio::speak(Container::Raw, &format!("{voice} {text} {n}"), 4_800);
        let data = json!({"mimeType": "audio/L16;codec=pcm;rate=24000", "data": STANDARD.encode(sound)});
        let finish = (n == PIECES - 1).then_some("STOP");
        let event = candidate(json!({ "inlineData": data }), &text, finish, 3 * (n as u64 + 1));
        format!("data: {event}\r\n\r\n").into()
    });
    Ok(Reply::Audio {
        content_type: "text/event-stream",
        headers: Vec::new(),
        pieces: pieces.collect(),
        pause: PAUSE,
    })
}

fn transcript(contents: &[Value]) -> Result<Reply, Canned> {
    let parts = contents
        .iter()
        .filter_map(|content| content["parts"].as_array())
        .flatten();
    let data = parts
        .map(|part| field(part, "inlineData", "inline_data"))
        .find(|data| {
            field(data, "mimeType", "mime_type")
                .as_str()
                .is_some_and(|kind| kind.starts_with("audio/"))
        })
        .and_then(|data| data["data"].as_str())
        .ok_or_else(|| invalid("no audio to transcribe"))?;
    // Python's SDK writes the URL-safe alphabet, JavaScript's the standard one.
    let audio = STANDARD
        .decode(data)
        .or_else(|_| URL_SAFE.decode(data))
        .map_err(|_| invalid("Base64 decoding failed"))?;
    let text = format!("heard {}", &request::sha256(&audio)[..16]);
    let part = json!({"text": text, "audioTranscription": {"text": text, "languageCode": "en-US", "finished": true}});
    Ok(Reply::Whole(Canned::json(
        200,
        candidate(part, "", Some("STOP"), 9),
    )))
}

fn candidate(part: Value, asked: &str, finish: Option<&str>, tokens: u64) -> Value {
    let prompt = asked.len().div_ceil(4).max(1);
    let mut candidate = json!({"content": {"role": "model", "parts": [part]}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": prompt, "candidatesTokenCount": tokens, "totalTokenCount": prompt as u64 + tokens,
        },
        "modelVersion": TTS, "responseId": "gm-response-1",
    })
}

fn models() -> Value {
    let mut live = [model(CONVERSES), model(TRANSCRIBES)];
    live.iter_mut()
        .for_each(|model| model["supportedGenerationMethods"] = json!(["bidiGenerateContent"]));
    let [converses, transcribes] = live;
    json!({"models": [model(TTS), model(STT), model("gemini-3.8-flash"), converses, transcribes]})
}

fn model(id: &str) -> Value {
    json!({
        "name": format!("models/{id}"), "version": "001", "displayName": id, "description": id,
        "inputTokenLimit": 8192, "outputTokenLimit": 16384,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    })
}
