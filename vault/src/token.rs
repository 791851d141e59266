//! Access tokens: `vxg_`, 30 random base62 characters, a 6-character checksum.
//!
//! 30 characters hold 178 random bits, so a single SHA-256 is hash enough, and only that hash is stored. The
//! checksum (CRC-32 of all before it, in base62) lets a mistyped or made-up token be refused without a query.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::{Zeroize, Zeroizing};

use crate::clock::{Chance, NoChance};

const PREFIX: &str = "vxg_";
const RANDOM: usize = 30;
const CHECKSUM: usize = 6;
const LENGTH: usize = PREFIX.len() + RANDOM + CHECKSUM;
/// How much of a token people may see, to tell theirs apart: the prefix and four characters.
const SHOWN: usize = PREFIX.len() + 4;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The SHA-256 of a well-formed token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A token in the clear, which exists once: in the answer to whoever made it.
pub struct PlainToken(Zeroizing<String>);

impl PlainToken {
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }

    /// The part that listings show.
    pub fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken(…)")
    }
}

/// The hash of what was presented, or `None` when it cannot be a token of ours.
pub fn parse(presented: &str) -> Option<TokenHash> {
    if presented.len() != LENGTH || !presented.is_ascii() || !presented.starts_with(PREFIX) {
        return None;
    }
    let (body, given) = presented.split_at(LENGTH - CHECKSUM);
    let letters_only = body[PREFIX.len()..].bytes().all(|b| b.is_ascii_alphanumeric());
    (letters_only && given.as_bytes() == checksum(body)).then(|| TokenHash::of(presented))
}

pub fn mint(chance: &dyn Chance) -> Result<PlainToken, NoChance> {
    let mut token = Zeroizing::new(String::with_capacity(LENGTH));
    token.push_str(PREFIX);
    let mut bytes = Zeroizing::new([0u8; 64]);
    while token.len() < PREFIX.len() + RANDOM {
        chance.fill(bytes.as_mut_slice())?;
        for byte in bytes
            .iter()
            .filter(|byte| **byte < 248)
            .take(PREFIX.len() + RANDOM - token.len())
        {
            // 248 is the largest multiple of 62 in a byte: larger values would favour some letters.
            token.push(ALPHABET[usize::from(byte % 62)] as char);
        }
    }
    let mut check = checksum(&token);
    token.extend(check.iter().map(|letter| *letter as char));
    check.zeroize();
    Ok(PlainToken(token))
}

fn checksum(body: &str) -> [u8; CHECKSUM] {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut letters = [b'0'; CHECKSUM];
    for letter in letters.iter_mut().rev() {
        *letter = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemChance;

    struct Counting;

    impl Chance for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoChance> {
            bytes.iter_mut().zip(0u8..).for_each(|(byte, n)| *byte = n);
            Ok(())
        }
    }

    #[test]
    fn a_token_follows_from_its_randomness() {
        let token = mint(&Counting).unwrap();
        assert_eq!(token.expose(), "vxg_0123456789ABCDEFGHIJKLMNOPQRST3wC0tr");
        assert_eq!(token.prefix(), "vxg_0123");
    }

    #[test]
    fn what_was_minted_parses_to_its_hash() {
        let token = mint(&SystemChance).unwrap();
        assert!(parse(token.expose()) == Some(token.hash()));
        assert_ne!(token.expose(), mint(&SystemChance).unwrap().expose());
    }

    #[test]
    fn any_changed_character_is_refused() {
        let token = mint(&SystemChance).unwrap();
        for place in 0..token.expose().len() {
            for other in ['0', 'z', '-', ' '] {
                let mut changed: Vec<char> = token.expose().chars().collect();
                if changed[place] == other {
                    continue;
                }
                changed[place] = other;
                let changed: String = changed.into_iter().collect();
                assert!(parse(&changed).is_none(), "changed at {place} to {other:?}");
            }
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let longer = format!("{}0", mint(&SystemChance).unwrap().expose());
        let wide = "é".repeat(LENGTH / 2);
        for presented in ["", "vxg_", "sk-proj-123", longer.as_str(), wide.as_str()] {
            assert!(parse(presented).is_none(), "{presented}");
        }
    }
}
