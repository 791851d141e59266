//! Gemini's Live API: a setup that names the model, then sound or text in turns; answers are spoken, and everything is
//! JSON, in binary frames as the service sends it.

use std::convert::Infallible;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Value, json};

use super::pauses::{Listener, Phrase};
use super::query;
use super::{Key, Link, Over};
use crate::fakes::schema::Spec;
use crate::fakes::strict::cut;
use crate::fakes::voice::{self, Form};
use crate::fakes::{Call, Seen};

pub const CONVERSES: &str = "gemini-3.8-live";
pub const TRANSCRIBES: &str = "gemini-3.5-transcribe-live";
/// What the service says when it does not know a key.
pub const BAD_KEY: &str = "API key not valid. Please pass a valid API key.";

const RATE: u32 = 24_000;
/// Bytes of sound in one message.
const BLOCK: usize = 24_000;
const TOKENS_PER_SECOND: f64 = 25.0;

pub fn serves(service: &str) -> bool {
    let rest = service.strip_prefix("google.ai.generativelanguage.");
    let version = rest.and_then(|rest| rest.strip_suffix(".GenerativeService.BidiGenerateContent"));
    version.is_some_and(|version| ["v1", "v1beta", "v1alpha"].contains(&version))
}

pub fn check(call: &Call, seen: &Seen) {
    query::check(call, seen, &[]);
}

/// What was agreed on in the setup.
struct Session {
    speaks: bool,
    tells_input: bool,
    tells_output: bool,
    prompt_tokens: u64,
    listener: Option<Listener>,
}

pub async fn converse(link: &mut Link, key: Key) -> Result<Infallible, Over> {
    let first = read(link).await?;
    // A key is looked at after the upgrade only.
    match key {
        Key::Known => {}
        Key::Unknown => return Err(link.close(1007, BAD_KEY).await),
        Key::Absent => {
            let reason = "Method doesn't allow unregistered callers.";
            return Err(link.close(1008, reason).await);
        }
    }
    let mut session = open(link, &first).await?;
    loop {
        let message = read(link).await?;
        if let Some(content) = message.get("clientContent") {
            if content["turnComplete"] == true {
                let text = last_text(content);
                session.prompt_tokens = text.len().div_ceil(4) as u64;
                session.answer(link, &text).await?;
            }
        } else if let Some(input) = message.get("realtimeInput") {
            session.take(link, input).await?;
        } else {
            return Err(link.object(1007, "a setup is for the first message").await);
        }
    }
}

/// JSON in text or in bytes, with names in either spelling, that the schema allows.
async fn read(link: &mut Link) -> Result<Value, Over> {
    let spoken = link.hear().await?;
    let Ok(message) = serde_json::from_slice::<Value>(spoken.bytes()) else {
        return Err(link.object(1007, "Invalid JSON payload received.").await);
    };
    let message = in_camel_case(message);
    if let Some(refusal) = Spec::Gemini.refuses("LiveClientMessage", &message) {
        return Err(link.object(1007, &refusal).await);
    }
    Ok(message)
}

/// Google's parser takes `turn_complete` for `turnComplete`.
fn in_camel_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (camel(&name), in_camel_case(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(in_camel_case).collect()),
        other => other,
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or("").to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        name.push_str(letters.as_str());
        name
    })
}

async fn open(link: &mut Link, first: &Value) -> Result<Session, Over> {
    let Some(setup) = first.get("setup") else {
        return Err(link.object(1007, "the first message is a setup").await);
    };
    let name = setup["model"].as_str().expect("the schema says so");
    let model = name.trim_start_matches("models/");
    if ![CONVERSES, TRANSCRIBES].contains(&model) {
        let reason = format!(
            "{name} is not found for API version v1beta, or is not supported for bidiGenerateContent."
        );
        return Err(link.close(1008, &reason).await);
    }
    let modalities = &setup["generationConfig"]["responseModalities"];
    let speaks = model == CONVERSES;
    if speaks && modalities != &json!(["AUDIO"]) {
        return Err(link.object(1007, "responseModalities is not [\"AUDIO\"]").await);
    }
    let session = Session {
        speaks,
        tells_input: !setup["inputAudioTranscription"].is_null() || !speaks,
        tells_output: !setup["outputAudioTranscription"].is_null(),
        prompt_tokens: 0,
        listener: None,
    };
    say(link, json!({"setupComplete": {}})).await?;
    Ok(session)
}

async fn say(link: &mut Link, message: Value) -> Result<(), Over> {
    link.say_bytes(message.to_string()).await
}

fn last_text(content: &Value) -> String {
    let last = content["turns"].as_array().and_then(|turns| turns.last());
    let parts = last
        .and_then(|turn| turn["parts"].as_array())
        .into_iter()
        .flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

impl Session {
    /// Sound as it comes; a pause or the end of the stream is the end of a turn.
    async fn take(&mut self, link: &mut Link, input: &Value) -> Result<(), Over> {
        let chunks = input["mediaChunks"].as_array().cloned().unwrap_or_default();
        for blob in [input["audio"].clone()].into_iter().chain(chunks) {
            if !blob.is_null() {
                self.add(link, &blob).await?;
            }
        }
        let Some(listener) = &mut self.listener else {
            return Ok(());
        };
        let phrase = if input["audioStreamEnd"] == true || input["activityEnd"].is_object() {
            if !listener.speaks() {
                return Ok(());
            }
            listener.rest().await.map(Some)
        } else {
            listener.phrase().await
        };
        match phrase {
            Ok(Some(phrase)) => self.reply(link, &phrase).await,
            Ok(None) => Ok(()),
            Err(_) => Err(link.close(1007, "Unable to process input audio.").await),
        }
    }

    async fn add(&mut self, link: &mut Link, blob: &Value) -> Result<(), Over> {
        let kind = blob["mimeType"].as_str().unwrap_or("");
        let rate = kind
            .strip_prefix("audio/pcm")
            .map(|rest| rest.trim_start_matches([';', ' ']));
        let rate = rate.map(|rest| rest.strip_prefix("rate=").map_or(Ok(16_000), str::parse));
        let Some(Ok(rate)) = rate else {
            let what = format!("mimeType {kind} is no PCM");
            return Err(link.object(1007, &what).await);
        };
        let data = blob["data"].as_str().unwrap_or("");
        let Ok(samples) = STANDARD.decode(data).or_else(|_| URL_SAFE.decode(data)) else {
            return Err(link.object(1007, "Base64 decoding failed").await);
        };
        self.listener
            .get_or_insert_with(|| Listener::at(rate))
            .add(link, &samples);
        Ok(())
    }

    async fn reply(&mut self, link: &mut Link, phrase: &Phrase) -> Result<(), Over> {
        let text = phrase.heard.text();
        link.note(|socket| socket.made_out.push(text.clone()));
        self.prompt_tokens = (phrase.heard.seconds * TOKENS_PER_SECOND) as u64;
        if self.tells_input {
            let told = json!({"serverContent": {"inputTranscription": {"text": text, "finished": true}}});
            say(link, told).await?;
        }
        if self.speaks {
            return self.answer(link, &text).await;
        }
        let usage = self.usage(text.len().div_ceil(4) as u64);
        say(
            link,
            json!({"serverContent": {"turnComplete": true}, "usageMetadata": usage}),
        )
        .await
    }

    /// Says it back, which can be listened to.
    async fn answer(&self, link: &mut Link, text: &str) -> Result<(), Over> {
        let sound = voice::speak(text, 1.0, Form::Pcm.at(RATE)).await;
        link.note(|socket| socket.spoken.push(text.to_owned()));
        for block in cut(&sound, BLOCK) {
            let data = json!({"mimeType": "audio/pcm;rate=24000", "data": STANDARD.encode(&block)});
            let turn = json!({"parts": [{ "inlineData": data }]});
            say(link, json!({"serverContent": {"modelTurn": turn}})).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if self.tells_output {
            let told = json!({"serverContent": {"outputTranscription": {"text": text}}});
            say(link, told).await?;
        }
        say(link, json!({"serverContent": {"generationComplete": true}})).await?;
        let seconds = sound.len() as f64 / f64::from(RATE) / 2.0;
        let usage = self.usage((seconds * TOKENS_PER_SECOND) as u64);
        say(
            link,
            json!({"serverContent": {"turnComplete": true}, "usageMetadata": usage}),
        )
        .await
    }

    fn usage(&self, response: u64) -> Value {
        json!({
            "promptTokenCount": self.prompt_tokens, "responseTokenCount": response,
            "totalTokenCount": self.prompt_tokens + response,
        })
    }
}

/// What the service says some time before it ends a connection.
pub fn go_away(seconds: u32) -> Value {
    json!({"goAway": {"timeLeft": format!("{seconds}s")}})
}
