//! A transcription or translation request → the call to one provider, in three parts: a head, what stands before the
//! audio, and what stands behind it.

use bytes::Bytes;

use super::{AudioFile, Candidate, TranscriptionRequest, TranslatedHead};
use crate::rewrite::RewriteError;
use crate::vocabulary::{Refusal, Task};

/// How the caller's audio stands in the provider's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioEncoding {
    AsIs,
    Base64,
}

#[derive(Clone, Debug)]
pub struct TranscriptionPlan {
    candidate: Candidate,
    file: AudioFile,
}

impl TranscriptionPlan {
    /// Refuses what this provider's model cannot be asked at all: the task, the kind of file.
    pub fn new(_task: Task, _candidate: &Candidate, _file: &AudioFile) -> Result<Self, Refusal> {
        todo!()
    }

    /// Whether head and beginning follow from candidate and file alone, so that audio may go up before all the caller's
    /// fields are known: forms, in which the file comes first and the fields after it.
    pub fn may_stream(&self) -> bool {
        todo!()
    }

    /// The most audio the provider takes, in bytes.
    pub fn max_audio_bytes(&self) -> u64 {
        todo!()
    }

    pub fn encoding(&self) -> AudioEncoding {
        todo!()
    }

    /// Whether the provider's answer says how long the audio is.
    pub fn says_duration(&self) -> bool {
        todo!()
    }

    /// Refuses what this provider cannot do, by field, provider, and what it can do.
    pub fn check(&self, _request: &TranscriptionRequest) -> Result<(), Refusal> {
        todo!()
    }

    /// `request` may be missing where [`Self::may_stream`].
    pub fn head(
        &self,
        _request: Option<&TranscriptionRequest>,
        _boundary: &str,
    ) -> Result<TranslatedHead, RewriteError> {
        todo!()
    }

    /// What stands before the audio.
    pub fn before(
        &self,
        _request: Option<&TranscriptionRequest>,
        _boundary: &str,
    ) -> Result<Bytes, RewriteError> {
        todo!()
    }

    /// What stands behind the audio.
    pub fn after(&self, _request: &TranscriptionRequest, _boundary: &str) -> Result<Bytes, RewriteError> {
        todo!()
    }

    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    pub fn file(&self) -> &AudioFile {
        &self.file
    }
}
