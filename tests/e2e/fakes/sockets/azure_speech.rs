//! Azure's text to speech over a WebSocket: configuration, context and SSML come in, a turn of sound and of the places
//! of its words goes out.

use std::convert::Infallible;
use std::time::Duration;

use serde_json::{Value, json};

use super::query::{self, May};
use super::usp::{self, Incoming, Turn};
use super::{Key, Link, Over};
use crate::fakes::azure::refuse_key;
use crate::fakes::schema::Spec;
use crate::fakes::strict::ssml::{self, Fault};
use crate::fakes::strict::{azure_speech, cut};
use crate::fakes::voice::{self, Shape};
use crate::fakes::{Call, Canned, Kind, Seen};

const PARAMETERS: &[(&str, May)] = &[
    ("X-ConnectionId", May::Anything),
    ("enableTalkingAvatar", May::Flag),
    ("trafficType", May::Anything),
];
const MOST_SSML: usize = 64 << 10;
const PIECES: usize = 5;

pub fn check(call: &Call, seen: &Seen, path: &[&str], key: Key) -> Result<Option<()>, Canned> {
    let path = path.strip_prefix(&["tts"]).unwrap_or(path);
    if path != ["cognitiveservices", "websocket", "v1"] {
        return Ok(None);
    }
    query::check(call, seen, PARAMETERS);
    check_connection(call, seen);
    match key {
        Key::Known => Ok(Some(())),
        Key::Unknown | Key::Absent => Err(refuse_key(Kind::AzureTts)),
    }
}

/// Every connection is named, in a header or in the query.
pub fn check_connection(call: &Call, seen: &Seen) {
    let in_query = seen.query.get("X-ConnectionId").map(String::as_str);
    let id = seen.header("x-connectionid").or(in_query);
    if !id.is_some_and(|id| usp::is_id(&id.replace('-', ""))) {
        call.violation(format!("X-ConnectionId is {id:?}"));
    }
}

pub async fn converse(link: &mut Link) -> Result<Infallible, Over> {
    let mut configured = false;
    let mut context = None;
    loop {
        let message = Incoming::next(link).await?;
        match message.path().as_str() {
            "speech.config" => {
                let config = message.json(link).await?;
                check_schema(link, "SpeechConfigMessage", &config).await?;
                configured = true;
            }
            "synthesis.context" if configured => {
                let asked = message.json(link).await?;
                check_schema(link, "SynthesisContextMessage", &asked).await?;
                context = Some((message.request().to_owned(), asked));
            }
            "ssml" => {
                let Some((request, context)) =
                    context.take().filter(|(request, _)| request == message.request())
                else {
                    return Err(link
                        .object(1002, "ssml comes after the synthesis.context of its request")
                        .await);
                };
                let format = context["synthesis"]["audio"]["outputFormat"]
                    .as_str()
                    .unwrap_or("");
                speak(link, &message, &Turn { request: &request }, format).await?;
            }
            // What the SDK measured; the service says nothing to it.
            "telemetry" => {}
            path => {
                let what = format!("{path} is not expected here");
                return Err(link.object(1002, &what).await);
            }
        }
    }
}

pub async fn check_schema(link: &mut Link, name: &str, message: &Value) -> Result<(), Over> {
    match Spec::Azure.refuses(name, message) {
        None => Ok(()),
        Some(refusal) => Err(link.object(1007, &refusal).await),
    }
}

async fn speak(link: &mut Link, message: &Incoming, turn: &Turn<'_>, format: &str) -> Result<(), Over> {
    if message.binary || message.body.len() > MOST_SSML {
        return Err(link.object(1007, "SSML is text of at most 64 KB").await);
    }
    let Some(shape) = azure_speech::shape(format) else {
        let what = format!("Unsupported output format: {format}");
        return Err(link.object(1007, &what).await);
    };
    let speech = match ssml::read(message.text()) {
        Ok(speech) => speech,
        Err(Fault::UnknownVoice(voice)) => {
            let reason = format!("Unsupported voice {voice}.");
            return Err(link.close(1007, &reason).await);
        }
        Err(Fault::Malformed(what)) => return Err(link.object(1007, &format!("bad SSML: {what}")).await),
    };
    let sound = voice::speak(&speech.text, speech.speed, shape).await;
    link.note(|socket| socket.spoken.push(speech.text.clone()));
    let tag = json!({"serviceTag": "azure-tag-1"});
    let stream = "A1B2C3D4E5F60718293A4B5C6D7E8F90";
    turn.say(link, "turn.start", &json!({ "context": tag })).await?;
    let inline = json!({"type": "inline", "streamId": stream});
    turn.say(link, "response", &json!({"context": tag, "audio": inline}))
        .await?;
    for (number, piece) in cut(&sound, sound.len().div_ceil(PIECES)).iter().enumerate() {
        turn.say_audio(link, stream, shape.form.content_type(), piece)
            .await?;
        if number == 0 {
            let places = json!({ "Metadata": boundaries(&speech.text) });
            turn.say(link, "audio.metadata", &places).await?;
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let seconds = seconds(message.text(), shape, &sound).await;
    let end = json!({"Metadata": [{"Type": "SessionEnd", "Data": {"Offset": ticks(seconds)}}]});
    turn.say(link, "audio.metadata", &end).await?;
    turn.say(link, "turn.end", &json!({})).await
}

/// How long it lasts, by the samples that it was made of.
async fn seconds(ssml: &str, shape: Shape, sound: &[u8]) -> f64 {
    let Ok(speech) = ssml::read(ssml) else {
        return sound.len() as f64;
    };
    let samples = voice::Form::Pcm.at(shape.rate);
    let samples = voice::speak(&speech.text, speech.speed, samples).await;
    samples.len() as f64 / f64::from(shape.rate) / 2.0
}

/// A word for a fifth of a second each.
fn boundaries(text: &str) -> Vec<Value> {
    let words = text.split_whitespace().enumerate();
    words
        .map(|(number, word)| {
            let text = json!({"Text": word, "Length": word.chars().count(), "BoundaryType": "WordBoundary"});
            let data = json!({"Offset": ticks(number as f64 * 0.2), "Duration": ticks(0.2), "text": text});
            json!({"Type": "WordBoundary", "Data": data})
        })
        .collect()
}

/// Azure counts time in tenths of microseconds.
pub fn ticks(seconds: f64) -> u64 {
    (seconds * 10_000_000.0).round() as u64
}
