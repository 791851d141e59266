//! How a provider's WebSockets are read, as data: how their messages are built, and what in them is counted.
//!
//! The default is a socket whose messages pass unread.

pub(super) mod file;
pub(super) mod parse;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pointer::{Glob, Pointer};
use crate::socket::setup::SetupPlan;

/// What is looked for in a WebSocket's messages.
#[derive(Clone, Debug, Default)]
pub struct SocketPlan {
    /// Members of JSON text messages in which a credential may travel; they never go upstream.
    pub token_fields: Vec<String>,
    /// Whether a caller may show its token in the first message alone.
    pub token_in_first_message: bool,
    /// The first message says which model the session is for.
    pub setup: Option<SetupPlan>,
    pub messages: MessageShape,
    /// The query parameter that names the model.
    pub model_query: Option<String>,
    /// The model where nothing names one.
    pub model_default: Option<String>,
    /// Models told by the voice that a message names; the first that fits.
    pub model_by_voice: Vec<(Glob, String)>,
    /// Whether Chinese, Japanese and Korean characters of markup and plain text count double.
    pub wide_characters_count_double: bool,
    /// How sound from the caller, and from the provider, turns into seconds.
    pub audio_in: SoundPlan,
    pub audio_out: SoundPlan,
    /// What is read from either side. Empty: nothing.
    pub caller: Vec<PartPlan>,
    pub provider: Vec<PartPlan>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageShape {
    #[default]
    Unread,
    /// One JSON document each, in text and in binary messages alike.
    Json,
    /// Lines `Name: value` before a body. In a text message an empty line divides them, in a binary one a length
    /// of two bytes stands before the lines. The line `Path` says what the body is.
    Headed,
}

/// Bytes of sound → seconds. What neither this nor the sound itself tells is not known.
#[derive(Clone, Debug, Default)]
pub struct SoundPlan {
    /// The query parameter that names the format.
    pub query: Option<String>,
    pub default_format: Option<String>,
    /// Bytes per second of the formats that have a constant rate.
    pub formats: BTreeMap<String, f64>,
    /// Samples per second, of 16 bits and one channel, where no format is named.
    pub samples_per_second: Option<u32>,
}

/// One kind of message and what is read from it.
#[derive(Clone, Debug)]
pub struct PartPlan {
    /// The `Path` of headed messages.
    pub path: Option<String>,
    pub body: PartBody,
    /// What follows is for JSON bodies. The model, or the voice that tells it.
    pub model: Vec<Pointer>,
    pub voice: Vec<Pointer>,
    /// Text to be spoken. White space alone keeps a connection alive and is not counted.
    pub characters: Vec<Pointer>,
    pub audio: Vec<AudioPlace>,
    /// Text that was heard, or is said beside the sound.
    pub transcript: Vec<Pointer>,
    /// The format in which sound comes from the provider.
    pub format: Vec<Pointer>,
    /// Added up over all messages.
    pub tokens_in: Vec<Pointer>,
    pub tokens_out: Vec<Pointer>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartBody {
    #[default]
    Json,
    Ssml,
    Text,
    /// Sound itself. It may begin with the head of a WAVE stream, once per request.
    Audio,
}

/// Sound in base64.
#[derive(Clone, Debug)]
pub struct AudioPlace {
    pub at: Pointer,
    /// Its MIME type, which stands in the same object.
    pub mime: Vec<Pointer>,
}

impl SocketPlan {
    /// Whether anything is read from messages.
    pub fn is_read(&self) -> bool {
        self.messages != MessageShape::Unread
    }

    /// Whether anything is looked for in its messages, which would be hidden by compression.
    pub fn forbids_compression(&self) -> bool {
        self.is_read() || !self.token_fields.is_empty() || self.setup.is_some()
    }

    pub fn counts_characters(&self) -> bool {
        let counts = |part: &PartPlan| {
            !part.characters.is_empty() || matches!(part.body, PartBody::Ssml | PartBody::Text)
        };
        self.caller.iter().any(counts)
    }
}

impl PartPlan {
    pub fn has_sound(&self) -> bool {
        self.body == PartBody::Audio || !self.audio.is_empty()
    }
}
