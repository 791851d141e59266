//! Providers that take nothing but what their documents allow, speak with a voice, and listen with an ear.
//!
//! A body that the provider's schema refuses is answered as the provider does, and complained of besides, so that no
//! test passes with it. What only a caller can get wrong (an unknown voice, a text too long) is refused in silence.

pub mod azure_speech;
pub mod azure_transcription;
pub mod cartesia;
pub mod deepgram;
pub mod elevenlabs;
pub mod gemini;
pub mod openai;
pub mod ssml;
pub mod transcript;

use std::time::Duration;

use bytes::Bytes;

use super::voice::{self, Shape};
use super::{Call, Canned, Kind, Reply, Seen};

pub async fn reply(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    let own = match call.fake.kind {
        Kind::ElevenLabs => elevenlabs::reply(call, seen).await,
        Kind::AzureTts => azure_speech::reply(call, seen).await,
        Kind::AzureApi => azure_transcription::reply(call, seen).await,
        Kind::AzureStt => None,
        Kind::Gemini => gemini::reply(call, seen).await,
        Kind::OpenAi | Kind::Groq | Kind::OwnServer => Some(openai::reply(call, seen).await),
        Kind::Deepgram => Some(deepgram::reply(call, seen).await),
        Kind::Cartesia => Some(cartesia::reply(call, seen).await),
    };
    match own {
        Some(reply) => reply,
        // Lists and account facts are the same for everyone.
        None => super::reply(call.fake.kind, seen),
    }
}

impl Call {
    /// Speaks, and keeps the words where the test finds them.
    async fn speak(&self, words: &str, speed: f64, shape: Shape) -> Bytes {
        self.note(|seen| seen.said = Some(words.to_owned()));
        voice::speak(words, speed, shape).await
    }
}

/// Audio in so many pieces, a moment apart.
fn audio(
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    sound: &Bytes,
    pieces: usize,
) -> Reply {
    Reply::Audio {
        content_type,
        headers,
        pieces: cut(sound, sound.len().div_ceil(pieces)),
        pause: Duration::from_millis(40),
    }
}

pub fn cut(sound: &Bytes, size: usize) -> Vec<Bytes> {
    let starts = (0..sound.len()).step_by(size.max(1));
    starts
        .map(|at| sound.slice(at..(at + size).min(sound.len())))
        .collect()
}
