//! Samples → a container, piece by piece: signed 16-bit little-endian mono in, bytes to send out.

use bytes::BytesMut;
use policies::vocabulary::AudioFormat;

use crate::AudioError;

/// Which formats are made here.
pub fn can_encode(_format: AudioFormat) -> bool {
    todo!()
}

pub struct Encoder {}

impl Encoder {
    /// `rate`: of the samples that will come. `samples`: how many, where that is known beforehand; only then does
    /// the container's head say a length.
    pub fn new(_format: AudioFormat, _rate: u32, _samples: Option<u64>) -> Result<Self, AudioError> {
        todo!()
    }

    /// Takes bytes of samples, cut anywhere, also within one, and appends what is ready to `out`.
    pub fn push(&mut self, _pcm: &[u8], _out: &mut BytesMut) -> Result<(), AudioError> {
        todo!()
    }

    /// Appends what is left.
    pub fn finish(&mut self, _out: &mut BytesMut) -> Result<(), AudioError> {
        todo!()
    }

    /// Whether pushing costs little more than a copy.
    pub fn is_light(&self) -> bool {
        todo!()
    }

    /// Of the sound taken in so far.
    pub fn seconds(&self) -> f64 {
        todo!()
    }
}
