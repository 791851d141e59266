//! The one type that holds a provider's key in the clear.
//!
//! It has no `Display`, `Serialize` or `Clone`, its `Debug` says nothing, and its memory is wiped on drop.

use std::fmt;

use zeroize::Zeroizing;

pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub fn expose(&self) -> &str {
        &self.0
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
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Secret::new("sk-0123456789")), "Secret(…)");
    }
}
