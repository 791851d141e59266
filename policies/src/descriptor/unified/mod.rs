//! How `/v1` is served by a provider, as data: the calls that speak and transcribe, what they can be asked, and how
//! their answers read.
//!
//! What a file leaves out is as the OpenAI dialect has it, since that is what callers of `/v1` speak: a provider
//! that speaks it too says where, and little else.

pub(super) mod file;
pub(super) mod parse;

use std::collections::BTreeMap;

use http::HeaderName;

use super::pointer::{Glob, Pointer, is_one_of};
use super::provider::Provider;
use super::text::Text;
use crate::vocabulary::{AudioFormat, Task};

/// `[speech]`: one call that turns text into sound.
#[derive(Clone, Debug)]
pub struct SpeechSource {
    pub default_model: String,
    /// The models that this call serves.
    pub models: Vec<Glob>,
    pub default_voice: Option<String>,
    /// Other voices to begin with, by model; the first that fits.
    pub default_voices: Vec<(Vec<Glob>, String)>,
    pub head: HeadTemplate,
    pub body: SpeechBody,
    /// Characters that one call takes, by model; the first that fits. Longer input takes several calls.
    pub max_characters: Vec<(Vec<Glob>, usize)>,
    /// Whether Chinese, Japanese and Korean characters count double towards that.
    pub wide_characters_count_double: bool,
    /// `None`: the speed cannot be changed.
    pub speed: Option<(f64, f64)>,
    /// Models that take instructions.
    pub instructions: Vec<Glob>,
    /// The only instructions there are; empty: any text.
    pub styles: Vec<String>,
    /// What the provider calls the formats that it gives.
    pub formats: BTreeMap<AudioFormat, String>,
    pub samples: Option<Samples>,
    /// How sound comes in events; `None`: the body is the sound.
    pub events: Option<SpeechEvents>,
}

/// How the provider gives samples, from which other formats are made here.
#[derive(Clone, Debug)]
pub struct Samples {
    /// What the provider calls them.
    pub asked: String,
    /// Of signed 16-bit little-endian mono samples; `None`: they come as WAV.
    pub rate: Option<u32>,
}

#[derive(Clone, Debug)]
pub enum SpeechBody {
    Json(Text),
    Ssml(Text),
}

/// Sound in base64 in server-sent events.
#[derive(Clone, Debug)]
pub struct SpeechEvents {
    pub audio: Pointer,
    /// The MIME type beside it, whose `rate` counts.
    pub mime: Option<Pointer>,
    /// Why the answer ends, and the only ends that are none of trouble.
    pub finish: Option<(Pointer, Vec<String>)>,
    /// An error in the middle.
    pub error: Option<Pointer>,
}

/// Path, query and headers of a call.
#[derive(Clone, Debug)]
pub struct HeadTemplate {
    pub path: Text,
    pub query: Vec<Field<String>>,
    pub headers: Vec<Field<HeaderName>>,
}

/// A named text; left out where it is filled with nothing.
#[derive(Clone, Debug)]
pub struct Field<N> {
    pub name: N,
    pub text: Text,
    /// A list, for each item of which the field stands once.
    pub each: Option<String>,
}

/// `[transcription]`: one call that turns a recording into text.
#[derive(Clone, Debug)]
pub struct TranscriptionSource {
    pub default_model: String,
    /// The models that this call serves.
    pub models: Vec<Glob>,
    pub head: HeadTemplate,
    pub body: TranscriptionBody,
    /// Whether the head follows from the model and the recording alone.
    pub head_comes_first: bool,
    pub max_bytes: u64,
    pub can: Can,
    /// A language → the region's variant that is meant where none is named; empty: languages need none.
    pub locales: BTreeMap<String, String>,
    pub answer: TranscriptPointers,
}

#[derive(Clone, Debug)]
pub enum TranscriptionBody {
    /// The recording in the field `file`, which comes first, and other fields.
    Form {
        file: String,
        fields: Vec<Field<String>>,
    },
    /// The recording in base64 within JSON.
    Json(Text),
    /// The recording and nothing else.
    Recording,
}

/// What can be asked, by model.
#[derive(Clone, Debug, Default)]
pub struct Can {
    pub words: Vec<Glob>,
    /// Times of anything: words, or longer stretches.
    pub times: Vec<Glob>,
    pub speakers: Vec<Glob>,
    /// More than one language at once.
    pub languages: Vec<Glob>,
    pub prompt: Vec<Glob>,
    pub keywords: Vec<Glob>,
    pub temperature: Vec<Glob>,
    pub translation: Vec<Glob>,
}

#[derive(Clone, Debug)]
pub struct TranscriptPointers {
    /// The first that leads anywhere; all that it leads to, with blanks between.
    pub text: Vec<Pointer>,
    /// What is there also where nothing was said, and no text.
    pub silence: Option<Pointer>,
    pub language: Option<Pointer>,
    pub duration: Option<(Pointer, f64)>,
    pub words: Option<Stretches>,
    pub segments: Option<Stretches>,
    pub finish: Option<(Pointer, Vec<String>)>,
}

/// Timed texts.
#[derive(Clone, Debug)]
pub struct Stretches {
    pub items: Pointer,
    pub text: Vec<Pointer>,
    pub start: Pointer,
    pub end: StretchEnd,
    /// What a number of these times is in seconds.
    pub times: f64,
    pub speaker: Option<Pointer>,
    /// Items without one of these values there are left out.
    pub only: Option<(Pointer, Vec<String>)>,
}

#[derive(Clone, Debug)]
pub enum StretchEnd {
    At(Pointer),
    After(Pointer),
}

impl SpeechSource {
    pub fn default_voice(&self, model: &str) -> Option<&str> {
        let own = self
            .default_voices
            .iter()
            .find(|(models, _)| is_one_of(models, model));
        own.map(|(_, voice)| voice.as_str())
            .or(self.default_voice.as_deref())
    }
}

impl Provider {
    /// Whether `/v1` can have this model do that. The names decide as far as they tell; the provider knows the rest.
    pub fn serves(&self, task: Task, model: &str) -> bool {
        let models = match task {
            Task::Speech => self.speech.as_ref().map(|source| &source.models),
            Task::Transcription | Task::Translation => {
                self.transcription.as_ref().map(|source| &source.models)
            }
        };
        let of_operation = self.model_names(task.operation());
        !model.is_empty()
            && models.is_some_and(|models| is_one_of(models, model))
            && of_operation.is_none_or(|names| is_one_of(names, model))
    }
}
