//! A WAV file that arrives in pieces → its samples.

use bytes::Bytes;

use crate::AudioError;

#[derive(Debug, Default)]
pub struct WavReader {}

impl WavReader {
    /// The samples in this piece as signed 16-bit little-endian mono; empty while the head is incomplete.
    pub fn feed(&mut self, _bytes: Bytes) -> Result<Bytes, AudioError> {
        todo!()
    }

    /// Known once the head is complete.
    pub fn rate(&self) -> Option<u32> {
        todo!()
    }
}
