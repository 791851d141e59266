//! A provider's successful answer → audio or a transcript, by the descriptor's pointers.

use super::{Candidate, Transcript, TranscriptionRequest};

/// A 2xx that is not what was asked for: no audio, an end that is none, an error in the middle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(pub String);

/// Takes audio out of an answer as it arrives. Where the body is the audio, it passes through uncopied.
pub struct AudioReader {}

impl AudioReader {
    pub fn new(_candidate: &Candidate) -> Self {
        todo!()
    }

    /// The audio in this chunk; empty when there is none yet.
    pub fn feed(&mut self, _chunk: bytes::Bytes) -> Result<bytes::Bytes, BadAnswer> {
        todo!()
    }

    /// The answer is complete: what is left of the audio, or why it is no speech.
    pub fn end(&mut self) -> Result<bytes::Bytes, BadAnswer> {
        todo!()
    }

    /// The sample rate, where the answer says one.
    pub fn rate(&self) -> Option<u32> {
        todo!()
    }
}

pub fn read_transcript(
    _candidate: &Candidate,
    _request: &TranscriptionRequest,
    _body: &[u8],
) -> Result<Transcript, BadAnswer> {
    todo!()
}
