//! ElevenLabs' dialogue sockets: lines for several voices, in one dialogue or in several contexts, with answers in snake
//! case and errors as a message before the close.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::elevenlabs_speech::{FORMATS, context_name, read, take_credentials};
use super::query::{self, May};
use super::{Key, Link, Over};
use crate::fakes::elevenlabs::error;
use crate::fakes::schema::Spec;
use crate::fakes::strict::{cut, elevenlabs};
use crate::fakes::voice::{self, Shape};
use crate::fakes::{Call, Canned, Seen};

const PARAMETERS: &[(&str, May)] = &[
    (
        "model_id",
        May::Be(&[
            "eleven_v3",
            "eleven_v3_conversational",
            "eleven_v4",
            "eleven_v4_turbo",
        ]),
    ),
    ("language_code", May::Anything),
    ("enable_logging", May::Flag),
    ("output_format", May::Be(FORMATS)),
    ("sync_alignment", May::Flag),
    ("apply_text_normalization", May::Be(&["auto", "on", "off"])),
    ("seed", May::Number(0, u32::MAX as u64)),
];

const PATIENCE: Duration = Duration::from_secs(20);
const MOST_VOICES: usize = 10;
const PIECES: usize = 3;

pub struct Setting {
    several: bool,
    most_voices: usize,
    shape: Shape,
    aligned: bool,
}

pub fn setting(call: &Call, seen: &Seen, kind: &str) -> Result<Option<Setting>, Canned> {
    let several = match kind {
        "stream-input" => false,
        "multi-stream-input" => true,
        _ => return Ok(None),
    };
    query::check(call, seen, PARAMETERS);
    let model = seen.query.get("model_id").map_or("eleven_v3", String::as_str);
    let format = seen
        .query
        .get("output_format")
        .map_or("mp3_44100_128", String::as_str);
    let one_voice = ["eleven_v3_conversational", "eleven_v4_turbo"].contains(&model);
    Ok(Some(Setting {
        several,
        most_voices: if one_voice { 1 } else { MOST_VOICES },
        shape: elevenlabs::shape(format)
            .ok_or_else(|| error(400, "invalid_parameters", "no such output_format"))?,
        aligned: query::flag(seen, "sync_alignment"),
    }))
}

/// A dialogue with the voices that take part and the lines that wait.
struct Dialogue {
    voices: Vec<String>,
    text: String,
}

pub async fn converse(link: &mut Link, setting: Setting, key: Key) -> Result<Infallible, Over> {
    let mut authenticated = key == Key::Known;
    let mut dialogues: BTreeMap<String, Dialogue> = BTreeMap::new();
    loop {
        let Some(spoken) = link.hear_within(PATIENCE).await? else {
            return Err(fail(
                link,
                1008,
                "inactivity_timeout",
                "No message within 20 seconds.",
                None,
            )
            .await);
        };
        let mut message = read(link, &spoken).await?;
        authenticated |= take_credentials(link, &mut message);
        if !authenticated {
            let text = "A valid API key is required.";
            return Err(fail(link, 1008, "authentication_required", text, None).await);
        }
        let name = context_name(&message);
        if message["close_socket"] == true {
            check(link, &setting, &message, false).await?;
            return Err(finish(link, &setting, dialogues).await?);
        }
        let is_first = !dialogues.contains_key(&name);
        check(link, &setting, &message, is_first).await?;
        if is_first {
            let voices = admit(link, &setting, &message).await?;
            let text = String::new();
            dialogues.insert(name.clone(), Dialogue { voices, text });
        }
        let dialogue = dialogues.get_mut(&name).expect("inserted above");
        for line in message["inputs"].as_array().into_iter().flatten() {
            if line["new_turn"] == true && !dialogue.text.is_empty() {
                dialogue.speak(link, &setting, &name).await?;
            }
            dialogue.add(link, line).await?;
        }
        let closes = message["close_context"] == true;
        if message["flush"] == true || closes {
            dialogue.speak(link, &setting, &name).await?;
        }
        if closes {
            dialogues.remove(&name);
            say(link, &setting, &name, json!({"is_final": true})).await?;
        }
    }
}

/// The schema is one for both; a context's first message names voices, and no other does.
async fn check(link: &mut Link, setting: &Setting, message: &Value, is_first: bool) -> Result<(), Over> {
    let schema = if setting.several {
        "TextToDialogueWebsocketClientMessageMulti"
    } else {
        "TextToDialogueWebsocketClientMessage"
    };
    let mut wrong = Spec::ElevenLabs.refuses(schema, message);
    if wrong.is_none() && is_first == message["voices"].is_null() {
        wrong = Some("voices belong to a dialogue's first message, and only there".to_owned());
    }
    match wrong {
        None => Ok(()),
        Some(wrong) => {
            link.violation(&wrong);
            Err(fail(link, 1008, "invalid_message", &wrong, None).await)
        }
    }
}

async fn admit(link: &mut Link, setting: &Setting, message: &Value) -> Result<Vec<String>, Over> {
    let voices: Vec<String> = serde_json::from_value(message["voices"].clone()).expect("the schema says so");
    if voices.is_empty() || voices.len() > setting.most_voices {
        return Err(fail(
            link,
            1008,
            "invalid_voices",
            "The number of voices is not allowed.",
            Some("voices"),
        )
        .await);
    }
    if voices
        .iter()
        .any(|voice| !elevenlabs::VOICES.contains(&voice.as_str()))
    {
        return Err(fail(
            link,
            1008,
            "voice_not_found",
            "A voice does not exist.",
            Some("voices"),
        )
        .await);
    }
    Ok(voices)
}

impl Dialogue {
    async fn add(&mut self, link: &mut Link, line: &Value) -> Result<(), Over> {
        let voice = line["voice_id"].as_str().expect("the schema says so");
        if !self.voices.iter().any(|known| known == voice) {
            let text = "voice_id is not one of the voices.";
            return Err(fail(link, 1008, "invalid_voice_id", text, Some("inputs")).await);
        }
        self.text
            .push_str(line["text"].as_str().expect("the schema says so"));
        Ok(())
    }

    async fn speak(&mut self, link: &mut Link, setting: &Setting, name: &str) -> Result<(), Over> {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        if text.is_empty() {
            return Ok(());
        }
        let sound = voice::speak(&text, 1.0, setting.shape).await;
        link.note(|socket| socket.spoken.push(text.clone()));
        for piece in cut(&sound, sound.len().div_ceil(PIECES)) {
            let mut answer = json!({"audio": STANDARD.encode(piece)});
            if setting.aligned {
                answer["alignment"] =
                    json!({"chars": [], "char_start_times_ms": [], "char_durations_ms": []});
            }
            say(link, setting, name, answer).await?;
        }
        say(link, setting, name, json!({"is_final_audio_for_turn": true})).await
    }
}

async fn say(link: &mut Link, setting: &Setting, name: &str, mut answer: Value) -> Result<(), Over> {
    if setting.several {
        answer["context_id"] = json!(name);
    }
    link.say(answer.to_string()).await
}

async fn fail(link: &mut Link, code: u16, error: &str, message: &str, param: Option<&str>) -> Over {
    let told = json!({"message": message, "error": error, "code": code, "param": param});
    match link.say(told.to_string()).await {
        Ok(()) => link.close(code, error).await,
        Err(over) => over,
    }
}

async fn finish(
    link: &mut Link,
    setting: &Setting,
    dialogues: BTreeMap<String, Dialogue>,
) -> Result<Over, Over> {
    for (name, mut dialogue) in dialogues {
        dialogue.speak(link, setting, &name).await?;
        if setting.several {
            say(link, setting, &name, json!({"is_final": true})).await?;
        }
    }
    if !setting.several {
        link.say(json!({"is_final": true}).to_string()).await?;
    }
    Ok(link.close(1000, "").await)
}
