//! Azure's speech to text over a WebSocket: sound comes in binary frames, its first with a WAV head; what is made out
//! goes out phrase by phrase, with guesses before.

use std::convert::Infallible;

use serde_json::{Value, json};

use super::azure_speech::{check_connection, check_schema, ticks};
use super::pauses::{Listener, Phrase};
use super::query::{self, May};
use super::usp::{Incoming, Turn};
use super::{Key, Link, Over};
use crate::fakes::azure::refuse_key;
use crate::fakes::{Call, Canned, Kind, Seen};

const PARAMETERS: &[(&str, May)] = &[
    ("language", May::Be(&["en-US", "de-DE"])),
    ("format", May::Be(&["simple", "detailed"])),
    ("X-ConnectionId", May::Anything),
    ("connectionId", May::Anything),
    ("cid", May::Anything),
    ("profanity", May::Be(&["masked", "removed", "raw"])),
    ("storeAudio", May::Flag),
    ("lidEnabled", May::Flag),
    ("wordLevelTimestamps", May::Flag),
    ("initialSilenceTimeoutMs", May::Number(0, 120_000)),
    ("endSilenceTimeoutMs", May::Number(0, 120_000)),
    ("trafficType", May::Anything),
];

pub struct Setting {
    /// One phrase is all that is wanted, unless the context says otherwise.
    once: bool,
    detailed: bool,
}

/// What the path stands for; `None` where there is no such path.
pub fn setting(call: &Call, seen: &Seen, path: &[&str], key: Key) -> Result<Option<Setting>, Canned> {
    let path = path.strip_prefix(&["stt"]).unwrap_or(path);
    let once = match path {
        ["speech", "universal", "v2"] => false,
        ["speech", "recognition", mode, "cognitiveservices", "v1"] => match *mode {
            "interactive" => true,
            "conversation" | "dictation" => false,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    query::check(call, seen, PARAMETERS);
    check_connection(call, seen);
    if key != Key::Known {
        return Err(refuse_key(Kind::AzureStt));
    }
    let detailed = seen
        .query
        .get("format")
        .is_some_and(|format| format == "detailed");
    Ok(Some(Setting { once, detailed }))
}

pub async fn converse(link: &mut Link, mut setting: Setting) -> Result<Infallible, Over> {
    let mut configured = false;
    let mut ended: Option<Ended> = None;
    loop {
        let message = Incoming::next(link).await?;
        // Sound that was on its way when the turn ended.
        let late = ended.as_ref().filter(|ended| ended.request == message.request());
        match (message.path().as_str(), late) {
            ("audio", Some(ended)) => ended.listener.count(link, &message.body),
            ("speech.config", _) => {
                let config = message.json(link).await?;
                check_schema(link, "SpeechConfigMessage", &config).await?;
                configured = true;
            }
            ("speech.context", _) if configured => {
                let context = message.json(link).await?;
                check_schema(link, "SpeechContextMessage", &context).await?;
                setting.read(&context);
            }
            ("audio", _) if configured && message.binary => {
                let request = message.request().to_owned();
                let listener = recognise(link, &setting, message).await?;
                ended = Some(Ended { request, listener });
            }
            // What the SDK measured; the service says nothing to it.
            ("telemetry", _) => {}
            (path, _) => {
                let what = format!("{path} is not expected here");
                return Err(link.object(1002, &what).await);
            }
        }
    }
}

/// A turn that is over.
struct Ended {
    request: String,
    listener: Listener,
}

impl Setting {
    fn read(&mut self, context: &Value) {
        let mode = context["phraseDetection"]["mode"].as_str();
        match mode.map(str::to_ascii_lowercase).as_deref() {
            Some("interactive") => self.once = true,
            Some("conversation" | "dictation") => self.once = false,
            _ => {}
        }
        let format = context["phraseOutput"]["format"].as_str();
        self.detailed |= format.is_some_and(|format| format.eq_ignore_ascii_case("detailed"));
    }
}

/// A turn: from its first sound to the end of the audio, or of the one phrase that is wanted.
async fn recognise(link: &mut Link, setting: &Setting, first: Incoming) -> Result<Listener, Over> {
    let request = first.request().to_owned();
    let turn = Turn { request: &request };
    let Some(rate) = rate(&first.body) else {
        return Err(link
            .object(
                1007,
                "the first sound is no WAV head of mono samples with 16 bits",
            )
            .await);
    };
    turn.say(
        link,
        "turn.start",
        &json!({"context": {"serviceTag": "azure-tag-2"}}),
    )
    .await?;
    let mut listener = Listener::at(rate);
    listener.add(link, &first.body[44..]);
    let mut guess = Guess::default();
    loop {
        if let Some(phrase) = attempt(link, listener.phrase().await).await? {
            if setting.once {
                end(link, &turn, &listener).await?;
                tell(link, setting, &turn, &phrase, &mut guess).await?;
                break;
            }
            tell(link, setting, &turn, &phrase, &mut guess).await?;
        } else if listener.speaks() && listener.seconds() >= guess.next_at {
            guess.next_at = listener.seconds() + 0.7;
            guess.say(link, &turn, &listener).await?;
        }
        let message = Incoming::next(link).await?;
        match message.path().as_str() {
            "audio" if message.binary && message.request() == request => {
                if message.body.is_empty() {
                    end(link, &turn, &listener).await?;
                    if listener.speaks() {
                        let rest = attempt(link, listener.rest().await.map(Some)).await?;
                        tell(link, setting, &turn, &rest.expect("given above"), &mut guess).await?;
                    }
                    break;
                }
                listener.add(link, &message.body);
            }
            "telemetry" | "speech.context" | "speech.config" => {}
            path => {
                let what = format!("{path} is not expected in a turn");
                return Err(link.object(1002, &what).await);
            }
        }
    }
    turn.say(link, "turn.end", &json!({})).await?;
    Ok(listener)
}

/// Said before the last phrase, which the native SDK waits for in that order.
async fn end(link: &mut Link, turn: &Turn<'_>, listener: &Listener) -> Result<(), Over> {
    let offset = ticks(listener.seconds());
    turn.say(link, "speech.endDetected", &json!({ "Offset": offset }))
        .await
}

/// The guesses on the way to a phrase.
#[derive(Default)]
struct Guess {
    started: bool,
    next_at: f64,
}

impl Guess {
    async fn say(&mut self, link: &mut Link, turn: &Turn<'_>, listener: &Listener) -> Result<(), Over> {
        self.start(link, turn).await?;
        let heard = attempt(link, listener.so_far().await.map(Some)).await?;
        let text = heard.map(|heard| heard.text()).unwrap_or_default();
        if text.is_empty() {
            return Ok(());
        }
        self.say_text(link, turn, &text).await
    }

    async fn say_text(&self, link: &mut Link, turn: &Turn<'_>, text: &str) -> Result<(), Over> {
        let guess = json!({"Id": "guess-1", "Text": text, "Offset": ticks(0.1), "Duration": ticks(0.5), "Channel": 0});
        turn.say(link, "speech.hypothesis", &guess).await
    }

    async fn start(&mut self, link: &mut Link, turn: &Turn<'_>) -> Result<(), Over> {
        if !self.started {
            self.started = true;
            turn.say(link, "speech.startDetected", &json!({"Offset": ticks(0.1)}))
                .await?;
        }
        Ok(())
    }
}

async fn tell(
    link: &mut Link,
    setting: &Setting,
    turn: &Turn<'_>,
    phrase: &Phrase,
    guess: &mut Guess,
) -> Result<(), Over> {
    guess.start(link, turn).await?;
    let text = phrase.heard.text();
    guess.say_text(link, turn, &text).await?;
    link.note(|socket| socket.made_out.push(text.clone()));
    let (offset, duration) = (ticks(phrase.start), ticks(phrase.heard.seconds));
    let mut told = json!({
        "Id": "phrase-1", "RecognitionStatus": "Success", "DisplayText": text, "Offset": offset, "Duration": duration,
        "Channel": 0,
    });
    if setting.detailed {
        let best =
            json!({"Confidence": 0.97, "Lexical": text, "ITN": text, "MaskedITN": text, "Display": text});
        told["NBest"] = json!([best]);
    }
    turn.say(link, "speech.phrase", &told).await
}

async fn attempt<T>(link: &mut Link, heard: Result<Option<T>, String>) -> Result<Option<T>, Over> {
    match heard {
        Ok(heard) => Ok(heard),
        Err(_) => Err(link.close(1011, "The audio cannot be read.").await),
    }
}

/// The rate that a WAV head of 44 bytes tells.
fn rate(first: &[u8]) -> Option<u32> {
    let head = first.get(..44)?;
    let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let is_mono_pcm =
        &head[..4] == b"RIFF" && &head[8..16] == b"WAVEfmt " && short(20) == 1 && short(22) == 1;
    (is_mono_pcm && short(34) == 16).then(|| u32::from_le_bytes([head[24], head[25], head[26], head[27]]))
}
