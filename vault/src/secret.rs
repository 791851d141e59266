//! The one type that holds a provider's key in the clear.
//!
//! It has no `Display`, `Serialize` or `Clone`, its `Debug` says nothing, and its memory is wiped on drop.

use std::fmt;

use zeroize::Zeroizing;

/// A shorter key could be a word that stands in an answer by chance.
const SHORTEST_FOUND: usize = 8;

pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether these bytes hold it: some providers repeat what they were sent.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.place_in(bytes).is_some()
    }

    /// Puts asterisks in each of its places; false when it is in none. The length stays.
    pub fn conceal_in(&self, bytes: &mut [u8]) -> bool {
        let mut found = false;
        while let Some(at) = self.place_in(bytes) {
            bytes[at..at + self.0.len()].fill(b'*');
            found = true;
        }
        found
    }

    fn place_in(&self, bytes: &[u8]) -> Option<usize> {
        let key = self.0.as_bytes();
        let short = key.len() < SHORTEST_FOUND || bytes.len() < key.len();
        // A key of asterisks alone could not be concealed by them.
        let odd = key.iter().all(|byte| *byte == b'*');
        if short || odd {
            return None;
        }
        memchr::memmem::find(bytes, key)
    }

    /// What people may see of it: the last four characters, and nothing of a key too short to spare them.
    pub fn masked(&self) -> String {
        let shown = self.0.chars().count().saturating_sub(4);
        if shown < 4 {
            return "…".to_owned();
        }
        format!("…{}", self.0.chars().skip(shown).collect::<String>())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_shows_the_last_four_and_nothing_of_short_keys() {
        for (key, mask) in [
            ("sk-0123456789", "…6789"),
            ("12345678", "…5678"),
            ("1234567", "…"),
            ("", "…"),
        ] {
            assert_eq!(Secret::new(key).masked(), mask, "{key}");
        }
    }

    #[test]
    fn a_key_is_concealed_wherever_it_is() {
        let key = Secret::new("sk-0123456789");
        let mut text = b"sk-0123456789 and sk-0123456789, but not sk-012345678".to_vec();
        assert!(key.is_in(&text) && key.conceal_in(&mut text));
        assert_eq!(text, b"************* and *************, but not sk-012345678");
        assert!(!key.is_in(&text) && !key.conceal_in(&mut text));
        for odd in ["", "short", "*********"] {
            assert!(
                !Secret::new(odd).conceal_in(&mut b"short *********".to_vec()),
                "{odd}"
            );
        }
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Secret::new("sk-0123456789")), "Secret(…)");
    }
}
