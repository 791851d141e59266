//! The canonical transcript: what every provider's answer becomes, and every format is rendered from.

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    pub text: String,
    /// As the provider names it.
    pub language: Option<String>,
    /// Seconds of audio.
    pub duration: Option<f64>,
    pub words: Vec<Word>,
    pub segments: Vec<Segment>,
}

/// Times are seconds from the beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Word {
    pub text: String,
    pub start: f64,
    pub end: f64,
    pub speaker: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    pub text: String,
    pub start: f64,
    pub end: f64,
    pub speaker: Option<String>,
}

impl Transcript {
    /// The provider's own segments, else made from its words (sentence ends, pauses, changes of speaker), else one from
    /// beginning to end where the duration is known.
    pub fn segmented(&self) -> Vec<Segment> {
        todo!()
    }
}
