//! What was heard, in the pieces that the providers' answers are made of.

use crate::fakes::ear::{Heard, Word};

/// One speaker's turn.
pub struct Turn<'a> {
    pub speaker: usize,
    pub words: &'a [Word],
}

impl Turn<'_> {
    pub fn text(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.word.as_str()).collect();
        words.join(" ")
    }

    pub fn start(&self) -> f64 {
        self.words[0].start
    }

    pub fn end(&self) -> f64 {
        self.words[self.words.len() - 1].end
    }
}

/// All words as one turn, or as a dialogue of two when speakers are to be told apart. Empty where nothing was heard.
pub fn turns(heard: &Heard, tell_apart: bool) -> Vec<Turn<'_>> {
    let middle = if tell_apart {
        heard.words.len().div_ceil(2)
    } else {
        heard.words.len()
    };
    let (first, second) = heard.words.split_at(middle);
    let turns = [(0, first), (1, second)].map(|(speaker, words)| Turn { speaker, words });
    turns.into_iter().filter(|turn| !turn.words.is_empty()).collect()
}

pub fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}
