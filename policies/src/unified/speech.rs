//! A speech request → the calls to one provider that speak it, or what that provider cannot do.

use super::{Candidate, SpeechRequest, TranslatedCall};
use crate::rewrite::RewriteError;
use crate::vocabulary::{AudioFormat, Refusal};

/// How the provider gives the audio that the caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpokenAs {
    /// In the caller's container.
    AsAsked,
    /// As signed 16-bit little-endian mono samples; made into the caller's container here.
    Pcm { rate: u32 },
    /// As WAV, whose header says the rate; made into the caller's container here.
    Wav,
}

#[derive(Clone, Debug)]
pub struct SpeechPlan {
    candidate: Candidate,
    request: SpeechRequest,
    pieces: Vec<String>,
    pub spoken_as: SpokenAs,
}

impl SpeechPlan {
    /// A refusal names the field, the provider, and what it can do.
    pub fn new(_candidate: &Candidate, _request: &SpeechRequest) -> Result<Self, Refusal> {
        todo!()
    }

    /// How many calls it takes: more than one where the input is longer than the provider speaks at once, and then
    /// never [`SpokenAs::AsAsked`].
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    pub fn call(&self, _piece: usize) -> Result<TranslatedCall, RewriteError> {
        todo!()
    }

    pub fn format(&self) -> AudioFormat {
        self.request.format
    }

    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }
}
