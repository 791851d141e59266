//! ElevenLabs' realtime transcription: audio in base64 comes in chunks, transcripts go out as they are committed.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::elevenlabs_speech::read;
use super::pauses::{Listener, Phrase};
use super::query::{self, May};
use super::{Key, Link, Over};
use crate::fakes::schema::Spec;
use crate::fakes::{Call, Seen};

const PARAMETERS: &[(&str, May)] = &[
    ("model_id", May::Be(&["scribe_v2_realtime"])),
    (
        "audio_format",
        May::Be(&[
            "pcm_8000",
            "pcm_16000",
            "pcm_22050",
            "pcm_24000",
            "pcm_44100",
            "pcm_48000",
            "ulaw_8000",
        ]),
    ),
    ("commit_strategy", May::Be(&["manual", "vad"])),
    ("vad_silence_threshold_secs", May::Fraction(0.3, 3.0)),
    ("vad_threshold", May::Fraction(0.1, 0.9)),
    ("min_speech_duration_ms", May::Number(50, 2_000)),
    ("min_silence_duration_ms", May::Number(50, 2_000)),
    ("language_code", May::Anything),
    ("secondary_languages", May::Anything),
    ("include_timestamps", May::Flag),
    ("include_language_detection", May::Flag),
    ("keyterms", May::Anything),
    ("no_verbatim", May::Flag),
    ("entity_detection", May::Anything),
    ("entity_redaction", May::Anything),
    ("entity_redaction_mode", May::Anything),
    ("transcript_edit", May::Anything),
    ("filter_background_audio", May::Flag),
    ("enable_logging", May::Flag),
];

pub struct Setting {
    rate: u32,
    ulaw: bool,
    commits_itself: bool,
    timed: bool,
}

pub fn setting(call: &Call, seen: &Seen) -> Setting {
    query::check(call, seen, PARAMETERS);
    if !seen.query.contains_key("model_id") {
        call.violation("model_id is required");
    }
    let format = seen.query.get("audio_format").map_or("pcm_16000", String::as_str);
    let (codec, rate) = format.split_once('_').unwrap_or(("pcm", "16000"));
    Setting {
        rate: rate.parse().unwrap_or(16_000),
        ulaw: codec == "ulaw",
        commits_itself: seen
            .query
            .get("commit_strategy")
            .is_some_and(|strategy| strategy == "vad"),
        timed: query::flag(seen, "include_timestamps"),
    }
}

pub async fn converse(link: &mut Link, setting: Setting, key: Key) -> Result<Infallible, Over> {
    if key != Key::Known {
        let text = "You must be authenticated to use this endpoint.";
        return Err(fail(link, "auth_error", text, 1008).await);
    }
    link.say(started(&setting).to_string()).await?;
    let mut listener = Listener::at(setting.rate);
    let mut partial_at = 1.0;
    loop {
        let spoken = link.hear().await?;
        let chunk = read(link, &spoken).await?;
        if let Some(refusal) = Spec::ElevenLabs.refuses("InputAudioChunkPayload", &chunk) {
            link.violation(&refusal);
            return Err(fail(link, "input_error", &refusal, 1008).await);
        }
        if chunk["sample_rate"] != setting.rate {
            link.violation("sample_rate is not that of audio_format");
            return Err(fail(
                link,
                "input_error",
                "sample_rate does not match audio_format",
                1008,
            )
            .await);
        }
        let Ok(audio) = STANDARD.decode(chunk["audio_base_64"].as_str().unwrap_or("")) else {
            link.violation("audio_base_64 is no base64");
            return Err(fail(link, "input_error", "audio_base_64 is not valid base64", 1008).await);
        };
        if setting.ulaw {
            listener.add(link, &linear(&audio));
        } else {
            listener.add(link, &audio);
        }
        let phrase = match (chunk["commit"] == true, setting.commits_itself) {
            (true, _) => Some(listener.rest().await),
            (false, true) => listener.phrase().await.transpose(),
            (false, false) => None,
        };
        match phrase {
            Some(Ok(phrase)) => commit(link, &setting, &phrase).await?,
            Some(Err(_)) => {
                return Err(fail(link, "transcriber_error", "The audio cannot be read.", 1011).await);
            }
            None if listener.seconds() >= partial_at => {
                partial_at = listener.seconds() + 1.0;
                let heard = listener
                    .so_far()
                    .await
                    .map(|heard| heard.text())
                    .unwrap_or_default();
                link.say(json!({"message_type": "partial_transcript", "text": heard}).to_string())
                    .await?;
            }
            None => {}
        }
    }
}

fn started(setting: &Setting) -> Value {
    let format = format!("{}_{}", if setting.ulaw { "ulaw" } else { "pcm" }, setting.rate);
    let strategy = if setting.commits_itself { "vad" } else { "manual" };
    json!({
        "message_type": "session_started", "session_id": "el-session-1",
        "config": {
            "model_id": "scribe_v2_realtime", "sample_rate": setting.rate, "audio_format": format,
            "commit_strategy": strategy, "include_timestamps": setting.timed,
        },
    })
}

async fn commit(link: &mut Link, setting: &Setting, phrase: &Phrase) -> Result<(), Over> {
    let text = phrase.heard.text();
    link.note(|socket| socket.made_out.push(text.clone()));
    let partial = json!({"message_type": "partial_transcript", "text": text});
    link.say(partial.to_string()).await?;
    let committed = json!({"message_type": "committed_transcript", "text": text});
    link.say(committed.to_string()).await?;
    if setting.timed {
        let words = phrase.heard.words.iter().map(|word| {
            let (start, end) = (phrase.start + word.start, phrase.start + word.end);
            json!({"text": word.word, "start": start, "end": end, "type": "word", "logprob": -0.1})
        });
        let words: Vec<Value> = words.collect();
        let timed = json!({
            "message_type": "committed_transcript_with_timestamps", "text": text, "language_code": "en", "words": words,
        });
        link.say(timed.to_string()).await?;
    }
    Ok(())
}

async fn fail(link: &mut Link, kind: &str, text: &str, code: u16) -> Over {
    let told = json!({"message_type": kind, "error": text});
    match link.say(told.to_string()).await {
        Ok(()) => link.close(code, kind).await,
        Err(over) => over,
    }
}

/// µ-law as 16-bit samples, by G.711.
fn linear(ulaw: &[u8]) -> Vec<u8> {
    let sample = |byte: &u8| {
        let byte = !byte;
        let magnitude = ((i32::from(byte & 0x0f) << 3) + 0x84) << ((byte & 0x70) >> 4);
        let sample = if byte & 0x80 != 0 {
            0x84 - magnitude
        } else {
            magnitude - 0x84
        };
        (sample as i16).to_le_bytes()
    };
    ulaw.iter().flat_map(sample).collect()
}
