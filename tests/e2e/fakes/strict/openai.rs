//! OpenAI's audio dialect, as OpenAI, Groq and a server of one's own speak it.

use serde_json::{Value, json};

use super::transcript::turns;
use crate::fakes::ear::{self, Heard};
use crate::fakes::request::{self, Part};
use crate::fakes::schema::Spec;
use crate::fakes::voice::Form;
use crate::fakes::{Call, Canned, Kind, Reply, Seen};

pub const TRANSLATION: &str = "This was said in another language.";

pub fn refuse_key() -> Canned {
    error(
        401,
        "Incorrect API key provided.",
        "invalid_request_error",
        Some("invalid_api_key"),
        None,
    )
}

fn error(status: u16, message: &str, kind: &str, code: Option<&str>, param: Option<&str>) -> Canned {
    Canned::json(
        status,
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}}),
    )
    .header("x-request-id", "req-refused")
}

fn invalid(message: &str, param: Option<&str>) -> Canned {
    error(400, message, "invalid_request_error", None, param)
}

/// What one of these servers offers.
struct Offer {
    prefix: &'static str,
    speaking: &'static [&'static str],
    listening: &'static [&'static str],
    formats: &'static [Form],
}

fn offer(kind: Kind) -> Offer {
    const ALL: &[Form] = &[Form::Mp3, Form::Opus, Form::Aac, Form::Flac, Form::Wav, Form::Pcm];
    match kind {
        Kind::Groq => Offer {
            prefix: "/openai/v1",
            speaking: &["canopylabs/orpheus-v1-english"],
            listening: &["whisper-large-v3", "whisper-large-v3-turbo"],
            formats: &[Form::Wav],
        },
        Kind::OwnServer => Offer {
            prefix: "/v1",
            speaking: &["kokoro"],
            listening: &["Systran/faster-whisper-small"],
            formats: ALL,
        },
        _ => Offer {
            prefix: "/v1",
            speaking: &["gpt-4o-mini-tts", "tts-1", "tts-1-hd"],
            listening: &[
                "whisper-1",
                "gpt-4o-transcribe",
                "gpt-4o-mini-transcribe",
                "gpt-4o-transcribe-diarize",
            ],
            formats: ALL,
        },
    }
}

pub async fn reply(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    let offer = offer(call.fake.kind);
    let path = seen.path.strip_prefix(offer.prefix).unwrap_or("");
    match (seen.method.as_str(), path) {
        ("POST", "/audio/speech") => speech(call, seen, &offer).await,
        ("POST", "/audio/transcriptions") => transcription(call, seen, &offer).await,
        ("POST", "/audio/translations") => translation(call, seen).await,
        ("GET", "/models") => Ok(Reply::Whole(Canned::json(200, models(&offer)))),
        _ => Err(error(404, "Invalid URL", "invalid_request_error", None, None)),
    }
}

fn models(offer: &Offer) -> Value {
    let model =
        |id: &&str| json!({"id": id, "object": "model", "created": 1_700_000_000, "owned_by": "system"});
    let data: Vec<Value> = offer.speaking.iter().chain(offer.listening).map(model).collect();
    json!({"object": "list", "data": data})
}

fn unknown_model(name: &Value) -> Canned {
    let message = format!("The model {name} does not exist or you do not have access to it.");
    error(
        404,
        &message,
        "invalid_request_error",
        Some("model_not_found"),
        None,
    )
}

async fn speech(call: &Call, seen: &Seen, offer: &Offer) -> Result<Reply, Canned> {
    let body: Value =
        serde_json::from_slice(&seen.body).map_err(|_| invalid("could not parse the JSON body", None))?;
    let mut checked = body.clone();
    if call.fake.kind != Kind::OpenAi && body["voice"].is_string() {
        // Others have voices of their own.
        checked["voice"] = json!("alloy");
    }
    if let Some(refusal) = Spec::OpenAi.refuses("CreateSpeechRequest", &checked) {
        call.violation(&refusal);
        return Err(invalid(&refusal, None));
    }
    if !offer.speaking.iter().any(|model| body["model"] == *model) {
        return Err(unknown_model(&body["model"]));
    }
    if body["stream_format"] == "sse" {
        return Err(invalid("this fake streams audio only", Some("stream_format")));
    }
    let form = form(body["response_format"].as_str());
    if !offer.formats.contains(&form) {
        call.violation(format!("{form:?} is not offered here"));
        return Err(invalid(
            "response_format is not supported",
            Some("response_format"),
        ));
    }
    let rate = if form == Form::Opus { 48_000 } else { 24_000 };
    let words = body["input"].as_str().expect("the schema says so");
    let speed = body["speed"].as_f64().unwrap_or(1.0);
    let sound = call.speak(words, speed, form.at(rate)).await;
    let headers = vec![("x-request-id", "req-speech".to_owned())];
    Ok(super::audio(form.content_type(), headers, &sound, 4))
}

/// The schema lets no other name through.
fn form(name: Option<&str>) -> Form {
    match name {
        Some("opus") => Form::Opus,
        Some("aac") => Form::Aac,
        Some("flac") => Form::Flac,
        Some("wav") => Form::Wav,
        Some("pcm") => Form::Pcm,
        _ => Form::Mp3,
    }
}

/// The form, and what its file says.
async fn listen(call: &Call, seen: &Seen, schema: &str) -> Result<(Value, Heard), Canned> {
    let parts = request::multipart(seen).ok_or_else(|| invalid("multipart/form-data is expected", None))?;
    let form = Spec::OpenAi.form(schema, &parts);
    if let Some(refusal) = Spec::OpenAi.refuses(schema, &form) {
        call.violation(&refusal);
        return Err(invalid(&refusal, None));
    }
    let is_file = |part: &&Part| part.name == "file" && part.is_file;
    let file = parts
        .iter()
        .find(is_file)
        .ok_or_else(|| invalid("file is not a file", Some("file")))?;
    let heard = ear::listen(&file.content)
        .await
        .map_err(|_| invalid("Invalid file format.", Some("file")))?;
    Ok((form, heard))
}

async fn transcription(call: &Call, seen: &Seen, offer: &Offer) -> Result<Reply, Canned> {
    let (form, heard) = listen(call, seen, "CreateTranscriptionRequest").await?;
    if !offer.listening.iter().any(|model| form["model"] == *model) {
        return Err(unknown_model(&form["model"]));
    }
    let is_whisper = form["model"]
        .as_str()
        .is_some_and(|model| model.contains("whisper"));
    let format = form["response_format"].as_str().unwrap_or("json");
    let timed = format == "verbose_json";
    if !form["timestamp_granularities"].is_null() && !timed {
        call.violation("timestamp_granularities goes with verbose_json only");
        return Err(invalid(
            "timestamp_granularities needs verbose_json",
            Some("timestamp_granularities"),
        ));
    }
    let body = match format {
        "json" => {
            json!({"text": heard.text(), "usage": {"type": "duration", "seconds": heard.seconds.ceil()}})
        }
        "verbose_json" if is_whisper => verbose(&heard, &form),
        "diarized_json" if form["model"] == "gpt-4o-transcribe-diarize" => diarized(&heard),
        "text" if is_whisper => return Ok(Reply::Whole(Canned::text(200, "text/plain", heard.text()))),
        _ => {
            call.violation(format!("{format} is not offered by {}", form["model"]));
            return Err(invalid(
                "response_format is not compatible with the model",
                Some("response_format"),
            ));
        }
    };
    Ok(Reply::Whole(
        Canned::json(200, body).header("x-request-id", "req-transcript"),
    ))
}

fn verbose(heard: &Heard, form: &Value) -> Value {
    let segments: Vec<Value> = turns(heard, false)
        .iter()
        .enumerate()
        .map(|(id, turn)| {
            json!({
                "id": id, "seek": 0, "start": turn.start(), "end": turn.end(), "text": turn.text(), "tokens": [],
                "temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.01,
            })
        })
        .collect();
    let mut body = json!({
        "task": "transcribe", "language": "english", "duration": heard.seconds, "text": heard.text(),
        "segments": segments, "usage": {"type": "duration", "seconds": heard.seconds.ceil()},
    });
    let granularities = form["timestamp_granularities"].as_array().into_iter().flatten();
    if granularities.into_iter().any(|name| name == "word") {
        let words = heard
            .words
            .iter()
            .map(|word| json!({"word": word.word, "start": word.start, "end": word.end}));
        body["words"] = words.collect();
    }
    body
}

fn diarized(heard: &Heard) -> Value {
    let segments: Vec<Value> = turns(heard, true)
        .iter()
        .map(|turn| {
            json!({
                "type": "transcript.text.segment", "id": format!("seg_{}", turn.speaker), "start": turn.start(),
                "end": turn.end(), "text": turn.text(), "speaker": (["A", "B"][turn.speaker]),
            })
        })
        .collect();
    json!({
        "task": "transcribe", "duration": heard.seconds, "text": heard.text(), "segments": segments,
        "usage": {"type": "duration", "seconds": heard.seconds.ceil()},
    })
}

async fn translation(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    let (form, heard) = listen(call, seen, "CreateTranslationRequest").await?;
    if !["whisper-1", "whisper-large-v3"]
        .iter()
        .any(|model| form["model"] == *model)
    {
        return Err(invalid("the model does not translate", Some("model")));
    }
    let body = match form["response_format"].as_str() {
        Some("verbose_json") => json!({
            "task": "translate", "language": "english", "duration": heard.seconds, "text": TRANSLATION, "segments": [],
        }),
        _ => json!({ "text": TRANSLATION }),
    };
    Ok(Reply::Whole(Canned::json(200, body)))
}
