//! Sound in JSON: how much a string of base64 holds, and how long that lasts.

use super::sound::Mime;

/// Sound as far as its MIME type tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sound {
    /// Bytes of which no MIME type says how long they last.
    pub bytes: u64,
    pub seconds: f64,
    /// Some of it has no constant rate.
    pub unmeasured: bool,
}

impl Sound {
    /// Of the type that stands beside it.
    pub fn add(&mut self, bytes: u64, mime: Option<Mime>) {
        match mime {
            Some(Mime::Samples(Some(rate))) => self.seconds += bytes as f64 / rate,
            None | Some(Mime::Samples(None)) => self.bytes = self.bytes.saturating_add(bytes),
            // The head of a WAVE file is inside of the base64, where nobody looks.
            Some(Mime::Wave(_) | Mime::Compressed) => self.unmeasured |= bytes > 0,
            Some(Mime::Silent) => {}
        }
    }

    pub fn join(&mut self, other: &Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.seconds += other.seconds;
        self.unmeasured |= other.unmeasured;
    }
}

/// The length of what a string of base64 holds, with or without padding.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    characters: u64,
    /// How many of them, at the end so far, are `=`.
    padding: u64,
}

impl Base64 {
    pub fn pass(&mut self, run: &[u8]) {
        let padding = run.iter().rev().take_while(|byte| **byte == b'=').count();
        self.padding = padding as u64 + if padding == run.len() { self.padding } else { 0 };
        self.characters += run.len() as u64;
    }

    pub fn bytes(&self) -> u64 {
        (self.characters - self.padding).saturating_mul(3) / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_nothing_wherever_a_string_is_cut() {
        for (text, bytes) in [
            ("", 0),
            ("AA==", 1),
            ("AAA=", 2),
            ("AAAA", 3),
            ("AA", 1),
            ("AAA", 2),
            ("====", 0),
            ("A=A=", 2),
            ("AA==AAAA", 6),
        ] {
            for size in 1..=text.len().max(1) {
                let mut base64 = Base64::default();
                text.as_bytes().chunks(size).for_each(|run| base64.pass(run));
                base64.pass(b"");
                assert_eq!(base64.bytes(), bytes, "{text} by {size}");
            }
        }
    }
}
