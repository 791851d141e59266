//! Which container bytes are in, by what they begin with.

use policies::vocabulary::AudioFormat;

/// So many bytes tell every container apart.
pub const ENOUGH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    Mp3,
    OggOpus,
    /// Ogg with anything else in it.
    Ogg,
    /// AAC in ADTS frames.
    Aac,
    Flac,
    Wav,
    M4a,
    WebM,
}

/// `None`: nothing known, which raw samples are too. Give the beginning, [`ENOUGH`] bytes where there are so many.
pub fn recognise(_beginning: &[u8]) -> Option<Container> {
    todo!()
}

impl Container {
    pub fn content_type(self) -> &'static str {
        todo!()
    }

    /// Whether this is what a caller gets for a format. Raw samples have no container to check.
    pub fn is(self, _format: AudioFormat) -> bool {
        todo!()
    }
}
