//! ElevenLabs' `stream-input` and `multi-stream-input`: text comes in pieces, for one context or for several, and speech
//! goes out in pieces with the time of each character.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::query::{self, May};
use super::{Key, Link, Over};
use crate::fakes::elevenlabs::error;
use crate::fakes::schema::Spec;
use crate::fakes::seen::Spoken;
use crate::fakes::strict::{cut, elevenlabs};
use crate::fakes::voice::{self, Shape};
use crate::fakes::{Call, Canned, Seen};

pub const FORMATS: &[&str] = &[
    "mp3_22050_32",
    "mp3_24000_48",
    "mp3_44100_32",
    "mp3_44100_64",
    "mp3_44100_96",
    "mp3_44100_128",
    "mp3_44100_192",
    "pcm_8000",
    "pcm_16000",
    "pcm_22050",
    "pcm_24000",
    "pcm_32000",
    "pcm_44100",
    "pcm_48000",
    "ulaw_8000",
    "alaw_8000",
    "opus_48000_32",
    "opus_48000_64",
    "opus_48000_96",
    "opus_48000_128",
    "opus_48000_192",
];

const PARAMETERS: &[(&str, May)] = &[
    ("model_id", May::Anything),
    ("language_code", May::Anything),
    ("enable_logging", May::Flag),
    ("enable_ssml_parsing", May::Flag),
    ("output_format", May::Be(FORMATS)),
    ("inactivity_timeout", May::Number(1, 180)),
    ("sync_alignment", May::Flag),
    ("auto_mode", May::Flag),
    ("apply_text_normalization", May::Be(&["auto", "on", "off"])),
    ("seed", May::Number(0, u32::MAX as u64)),
];

const MODELS: &[&str] = &[
    "eleven_multilingual_v2",
    "eleven_flash_v2_5",
    "eleven_flash_v2",
    "eleven_turbo_v2_5",
    "eleven_turbo_v2",
];

/// Fields in which a message may carry a credential, in both spellings.
pub const CREDENTIALS: &[&str] = &["xi-api-key", "xi_api_key", "authorization", "single_use_token"];

/// How much text is collected before it is spoken, unless the first message says otherwise.
const SCHEDULE: usize = 120;
const MOST_CONTEXTS: usize = 5;
const PIECES: usize = 4;

pub struct Setting {
    several: bool,
    voice_known: bool,
    shape: Shape,
    patience: Duration,
    at_once: bool,
}

pub fn setting(call: &Call, seen: &Seen, voice: &str, kind: &str) -> Result<Option<Setting>, Canned> {
    let several = match kind {
        "stream-input" => false,
        "multi-stream-input" => true,
        _ => return Ok(None),
    };
    query::check(call, seen, PARAMETERS);
    let model = seen
        .query
        .get("model_id")
        .map_or("eleven_multilingual_v2", String::as_str);
    if model.starts_with("eleven_v3") || model.starts_with("eleven_v4") {
        return Err(error(
            403,
            "model_not_supported",
            "This model is not available here; use text-to-dialogue.",
        ));
    }
    if !MODELS.contains(&model) {
        return Err(error(
            400,
            "model_not_found",
            "A model with this ID does not exist.",
        ));
    }
    let format = seen
        .query
        .get("output_format")
        .map_or("mp3_44100_128", String::as_str);
    let seconds = seen
        .query
        .get("inactivity_timeout")
        .and_then(|seconds| seconds.parse().ok());
    Ok(Some(Setting {
        several,
        voice_known: elevenlabs::VOICES.contains(&voice),
        shape: elevenlabs::shape(format)
            .ok_or_else(|| error(400, "invalid_parameters", "no such output_format"))?,
        patience: Duration::from_secs(seconds.unwrap_or(20)),
        at_once: query::flag(seen, "auto_mode"),
    }))
}

/// Text that waits to be spoken.
struct Context {
    text: String,
    schedule: usize,
    speed: f64,
}

pub async fn converse(link: &mut Link, setting: Setting, key: Key) -> Result<Infallible, Over> {
    if key == Key::Unknown {
        return Err(link.close(1008, "Invalid API key").await);
    }
    let mut authenticated = key == Key::Known;
    let mut contexts: BTreeMap<String, Context> = BTreeMap::new();
    loop {
        let Some(spoken) = link.hear_within(setting.patience).await? else {
            let reason = format!(
                "Have not received a new text input within the timeout of {} seconds.",
                setting.patience.as_secs_f64()
            );
            return Err(link.close(1008, &reason).await);
        };
        let mut message = read(link, &spoken).await?;
        authenticated |= take_credentials(link, &mut message);
        if !authenticated {
            return Err(link
                .close(1008, "A valid API key or authorization token is required.")
                .await);
        }
        if !setting.voice_known {
            return Err(link
                .close(1008, "A voice with this voice_id does not exist.")
                .await);
        }
        let name = context_name(&message);
        let is_first = !contexts.contains_key(&name);
        check(link, &setting, &message, is_first).await?;
        if message["close_socket"] == true {
            return Err(finish(link, &setting, contexts).await?);
        }
        if is_first {
            if contexts.len() == MOST_CONTEXTS {
                return Err(link.close(1008, "Maximum simultaneous contexts reached.").await);
            }
            contexts.insert(name.clone(), Context::of(&message));
        }
        let context = contexts.get_mut(&name).expect("inserted above");
        let text = message["text"].as_str().unwrap_or("");
        context.text.push_str(text);
        if !setting.several && text.is_empty() {
            return Err(finish(link, &setting, contexts).await?);
        }
        let closes = message["close_context"] == true;
        if context.is_due(&message, setting.at_once) || closes {
            context.speak(link, &setting, &name).await?;
        }
        if closes {
            contexts.remove(&name);
            say_final(link, &setting, &name).await?;
        }
    }
}

/// JSON objects in text; nothing else is a message.
pub async fn read(link: &mut Link, spoken: &Spoken) -> Result<Value, Over> {
    let message = match spoken {
        Spoken::Text(text) => serde_json::from_str(text).ok(),
        Spoken::Bytes(_) => None,
    };
    match message {
        Some(message @ Value::Object(_)) => Ok(message),
        _ => Err(link
            .object(1003, "a message is a JSON object in a text frame")
            .await),
    }
}

/// Takes the fields of credentials out, and says whether the key is among them. From the gateway none may come.
pub fn take_credentials(link: &Link, message: &mut Value) -> bool {
    let fields = message.as_object_mut().expect("read as an object");
    let mut shown = false;
    for name in CREDENTIALS {
        if let Some(value) = fields.remove(*name) {
            if !link.call().fake.from_sdks {
                link.violation(format!("the field {name} arrived in a message"));
            }
            let key = value.as_str().unwrap_or("");
            shown |= link
                .call()
                .fake
                .treatment(key.trim_start_matches("Bearer "))
                .is_some();
        }
    }
    shown
}

pub fn context_name(message: &Value) -> String {
    let name = message["context_id"].as_str().or(message["contextId"].as_str());
    name.unwrap_or("default").to_owned()
}

async fn check(link: &mut Link, setting: &Setting, message: &Value, is_first: bool) -> Result<(), Over> {
    let schema = match (setting.several, is_first) {
        (true, _) => "WebsocketTTSClientMessageMulti",
        (false, true) => "InitializeConnection",
        (false, false) => "SendText",
    };
    if let Some(refusal) = Spec::ElevenLabs.refuses(schema, message) {
        return Err(link.object(1008, &refusal).await);
    }
    let opens_blank = message["text"]
        .as_str()
        .is_some_and(|text| text.trim().is_empty());
    if !setting.several && is_first && !opens_blank {
        return Err(link.object(1008, "the first text is a blank space").await);
    }
    let settles = [
        "voice_settings",
        "generation_config",
        "pronunciation_dictionary_locators",
    ];
    if setting.several && !is_first && settles.iter().any(|name| !message[*name].is_null()) {
        return Err(link
            .object(1008, "settings belong to a context's first message")
            .await);
    }
    Ok(())
}

impl Context {
    fn of(first: &Value) -> Self {
        let schedule = first["generation_config"]["chunk_length_schedule"][0].as_u64();
        Self {
            text: String::new(),
            schedule: schedule.map_or(SCHEDULE, |length| length as usize),
            speed: first["voice_settings"]["speed"].as_f64().unwrap_or(1.0),
        }
    }

    fn is_due(&self, message: &Value, at_once: bool) -> bool {
        let length = self.text.trim().chars().count();
        let flushed = message["flush"] == true;
        length > 0 && (flushed || at_once || length >= self.schedule)
    }

    /// Says all that waits, in pieces that each tell when their characters are heard.
    async fn speak(&mut self, link: &mut Link, setting: &Setting, name: &str) -> Result<(), Over> {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        if text.is_empty() {
            return Ok(());
        }
        let sound = voice::speak(&text, self.speed, setting.shape).await;
        link.note(|socket| socket.spoken.push(text.clone()));
        let characters: Vec<char> = text.chars().collect();
        let sizes = sound.len().div_ceil(PIECES);
        for (number, piece) in cut(&sound, sizes).iter().enumerate() {
            let from = characters.len() * number / PIECES;
            let to = characters.len() * (number + 1) / PIECES;
            let times = alignment(&characters[from..to]);
            let mut answer = json!({
                "audio": STANDARD.encode(piece), "isFinal": null, "normalizedAlignment": times, "alignment": times,
            });
            if setting.several {
                answer["contextId"] = json!(name);
            }
            link.say(answer.to_string()).await?;
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        Ok(())
    }
}

fn alignment(characters: &[char]) -> Value {
    let starts: Vec<usize> = (0..characters.len()).map(|number| number * 60).collect();
    json!({"charStartTimesMs": starts, "charDurationsMs": vec![60; characters.len()], "chars": characters})
}

async fn say_final(link: &mut Link, setting: &Setting, name: &str) -> Result<(), Over> {
    let mut last = json!({"audio": null, "isFinal": true});
    if setting.several {
        last["contextId"] = json!(name);
    }
    link.say(last.to_string()).await
}

/// Says what is left of every context and closes.
async fn finish(
    link: &mut Link,
    setting: &Setting,
    contexts: BTreeMap<String, Context>,
) -> Result<Over, Over> {
    for (name, mut context) in contexts {
        context.speak(link, setting, &name).await?;
        say_final(link, setting, &name).await?;
    }
    Ok(link.close(1000, "").await)
}
