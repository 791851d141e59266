//! Azure AI Speech on its three hosts, as the REST pages and the Swagger of fast transcription describe it.

use serde_json::{Value, json};

use super::audio::{self, Container};
use super::request::{self, Part};
use super::{Canned, Kind, Reply, Seen};

pub const VOICE: &str = "en-US-JennyNeural";
pub const FORMAT: &str = "audio-24khz-96kbitrate-mono-mp3";

/// Only the API host explains itself; the speech hosts answer an empty 401.
pub fn refuse_key(kind: Kind) -> Canned {
    match kind {
        Kind::AzureApi => Canned::json(
            401,
            json!({"error": {"code": "401", "message":
                "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key \
                 for an active subscription and use a correct regional API endpoint for your resource."}}),
        ),
        _ => Canned {
            status: http::StatusCode::UNAUTHORIZED,
            headers: Vec::new(),
            body: String::new(),
        },
    }
}

pub fn too_many_requests() -> Canned {
    Canned::json(
        429,
        json!({"error": {"code": "429", "message": "Requests have exceeded the call rate limit."}}),
    )
    .header("retry-after", "7")
}

pub fn network_rules() -> Canned {
    let message = "Access denied due to Virtual Network/Firewall rules.";
    Canned::json(403, json!({"error": {"code": "403", "message": message}}))
}

pub fn reply_tts(seen: &Seen) -> Result<Reply, Canned> {
    match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/cognitiveservices/voices/list") => Ok(Reply::Whole(Canned::json(200, voices()))),
        ("POST", "/cognitiveservices/v1") => speech(seen),
        _ => Err(Canned::text(404, "text/plain", "")),
    }
}

pub fn reply_stt(seen: &Seen) -> Result<Reply, Canned> {
    let path: Vec<&str> = seen.path.trim_start_matches('/').split('/').collect();
    match (seen.method.as_str(), path.as_slice()) {
        (
            "POST",
            [
                "speech",
                "recognition",
                "conversation" | "interactive" | "dictation",
                "cognitiveservices",
                "v1",
            ],
        ) => short_audio(seen),
        _ => Err(Canned::text(404, "text/plain", "")),
    }
}

pub fn reply_api(seen: &Seen) -> Result<Reply, Canned> {
    match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/speechtotext/transcriptions:transcribe") => fast_transcription(seen),
        ("GET", "/speechtotext/transcriptions/locales") => {
            check_version(seen)?;
            Ok(Reply::Whole(Canned::json(
                200,
                json!({"Submit": ["en-US"], "Transcribe": ["de-DE", "en-US"]}),
            )))
        }
        _ => Err(problem(404, "NotFound", "The requested resource does not exist.")),
    }
}

fn speech(seen: &Seen) -> Result<Reply, Canned> {
    if !seen
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/ssml+xml"))
    {
        return Err(Canned::text(415, "text/plain", ""));
    }
    let format = seen
        .header("x-microsoft-outputformat")
        .ok_or_else(|| Canned::text(400, "text/plain", ""))?;
    if seen
        .header("user-agent")
        .is_none_or(|agent| agent.is_empty() || agent.len() > 255)
    {
        return Err(Canned::text(400, "text/plain", "User-Agent is required"));
    }
    let ssml = std::str::from_utf8(&seen.body).map_err(|_| Canned::text(400, "text/plain", ""))?;
    let complete = ssml.trim_start().starts_with("<speak") && ssml.trim_end().ends_with("</speak>");
    if !complete || !ssml.contains(VOICE) {
        return Err(Canned::text(400, "text/plain", ""));
    }
    let container = Container::of_format(format);
    let sound = audio::speak(container, &format!("{format} {ssml}"), 18_000);
    let pieces = vec![
        sound.slice(..6_000),
        sound.slice(6_000..12_000),
        sound.slice(12_000..),
    ];
    let headers = vec![("x-requestid", "azure-tts-1".to_owned())];
    let pause = std::time::Duration::from_millis(60);
    Ok(Reply::Audio {
        content_type: container.content_type(),
        headers,
        pieces,
        pause,
    })
}

fn short_audio(seen: &Seen) -> Result<Reply, Canned> {
    if !seen.query.contains_key("language") {
        return Err(Canned::text(400, "text/plain", "language is required"));
    }
    let kind = seen.header("content-type").unwrap_or("");
    if !kind.starts_with("audio/wav") && !kind.starts_with("audio/ogg") {
        return Err(Canned::text(415, "text/plain", ""));
    }
    let heard = format!("Heard {}.", &request::sha256(&seen.body)[..16]);
    let best =
        json!({"Confidence": 0.97, "Lexical": heard, "ITN": heard, "MaskedITN": heard, "Display": heard});
    Ok(Reply::Whole(Canned::json(
        200,
        json!({
            "RecognitionStatus": "Success", "Offset": 300_000, "Duration": 15_000_000,
            "DisplayText": heard, "NBest": [best],
        }),
    )))
}

fn fast_transcription(seen: &Seen) -> Result<Reply, Canned> {
    check_version(seen)?;
    let parts = request::multipart(seen)
        .ok_or_else(|| problem(415, "UnsupportedMediaType", "multipart/form-data is expected"))?;
    let definition = parts
        .iter()
        .find(|part| part.name == "definition")
        .map(Part::text);
    let definition: Value = definition
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| problem(400, "InvalidRequest", "The definition is missing or is not JSON."))?;
    if definition
        .get("locales")
        .is_some_and(|locales| !locales.is_array())
    {
        return Err(problem(400, "InvalidRequest", "locales is an array"));
    }
    let audio = parts
        .iter()
        .find(|part| part.name == "audio" && !part.content.is_empty());
    let audio = audio.ok_or_else(|| problem(400, "InvalidRequest", "The audio is missing."))?;
    let heard = format!("Heard {}.", &request::sha256(&audio.content)[..16]);
    let word = json!({"text": heard, "offsetMilliseconds": 40, "durationMilliseconds": 1400});
    let phrase = json!({
        "channel": 0, "speaker": 1, "offsetMilliseconds": 40, "durationMilliseconds": 1400, "text": heard,
        "words": [word], "locale": "en-US", "confidence": 0.93,
    });
    Ok(Reply::Whole(Canned::json(
        200,
        json!({
            "durationMilliseconds": 1500, "combinedPhrases": [{"channel": 0, "text": heard}], "phrases": [phrase],
        }),
    )))
}

pub fn check_version(seen: &Seen) -> Result<(), Canned> {
    match seen.query.get("api-version").map(String::as_str) {
        Some("2025-10-15") => Ok(()),
        _ => Err(problem(
            400,
            "InvalidRequest",
            "The api-version query parameter is missing or not supported.",
        )),
    }
}

pub fn problem(status: u16, code: &str, message: &str) -> Canned {
    Canned::json(
        status,
        json!({"code": code, "message": message, "innerError": {"code": code, "message": message}}),
    )
}

fn voices() -> Value {
    let voice = |short: &str, locale: &str, name: &str| {
        json!({
            "Name": format!("Microsoft Server Speech Text to Speech Voice ({locale}, {name})"), "DisplayName": name,
            "LocalName": name, "ShortName": short, "Gender": "Female", "Locale": locale,
            "LocaleName": locale, "SampleRateHertz": "48000", "VoiceType": "Neural", "Status": "GA",
            "StyleList": ["chat", "cheerful"], "WordsPerMinute": "152",
        })
    };
    json!([
        voice(VOICE, "en-US", "Jenny"),
        voice("de-DE-KatjaNeural", "de-DE", "Katja")
    ])
}
