//! The two ends of a file that passes, and what they say of the whole.

/// Fed with every chunk of an upload; keeps its beginning, its end and its length, and nothing between.
#[derive(Debug, Default)]
pub struct Excerpt {}

impl Excerpt {
    pub fn feed(&mut self, _bytes: &[u8]) {
        todo!()
    }

    /// The beginning, as far as it is kept.
    pub fn beginning(&self) -> &[u8] {
        todo!()
    }

    pub fn length(&self) -> u64 {
        todo!()
    }

    /// Seconds, by the headers of WAV, MP3, Ogg, FLAC, M4A and WebM; `None` where they do not say.
    pub fn duration(&self) -> Option<f64> {
        todo!()
    }
}
