//! Master keys and the text they are kept in: several keys, one of them current.
//!
//! ```text
//! voxgate master keys 1
//! current 5f0c…
//! key 5f0c… 2026-11-22T09:40:00Z <base64>
//! checksum <hex>
//! ```
//!
//! Lines that begin with `#` are comments. The checksum tells a cut or garbled text from a whole one.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use zeroize::Zeroizing;

use crate::clock::{Chance, NoChance};
use crate::envelope::{Cipher, EnvelopeError, Fields, KEY_LEN};

const FIRST_LINE: &str = "voxgate master keys 1";
const NOTICE: &str =
    "# Without this file no stored credential opens. Keep a copy in a safe place, apart from the database.";
const PROVEN: &[u8] = b"this master key is the one";

/// One master key. Its bytes are kept for writing the file again.
pub(crate) struct MasterKey {
    pub id: String,
    created_at: DateTime<Utc>,
    bytes: Zeroizing<[u8; KEY_LEN]>,
    pub cipher: Cipher,
}

pub(crate) struct Keyring {
    current: String,
    keys: BTreeMap<String, MasterKey>,
}

impl MasterKey {
    fn new(id: String, created_at: DateTime<Utc>, bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        let cipher = Cipher::new(&bytes);
        Self {
            id,
            created_at,
            bytes,
            cipher,
        }
    }

    pub fn generate(now: DateTime<Utc>, chance: &dyn Chance) -> Result<Self, NoChance> {
        let mut id = [0; 8];
        chance.fill(&mut id)?;
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        chance.fill(bytes.as_mut_slice())?;
        Ok(Self::new(hex(&id), now, bytes))
    }

    /// Something that only this very key opens, to be kept in the database.
    pub fn proof(&self, chance: &dyn Chance) -> Result<Vec<u8>, EnvelopeError> {
        let (sealed, mut proof) = self.cipher.seal(PROVEN, &self.proof_associated_data(), chance)?;
        proof.extend_from_slice(&sealed);
        Ok(proof)
    }

    pub fn is_proven_by(&self, proof: &[u8]) -> bool {
        let Some((nonce, sealed)) = proof.split_at_checked(aws_lc_rs::aead::NONCE_LEN) else {
            return false;
        };
        self.cipher
            .open(sealed, nonce, &self.proof_associated_data())
            .is_some_and(|plain| plain.as_slice() == PROVEN)
    }

    fn proof_associated_data(&self) -> Vec<u8> {
        let mut fields = Fields::new("voxgate master key 1");
        fields.add(&self.id);
        fields.0
    }
}

impl Keyring {
    pub fn of_one(key: MasterKey) -> Self {
        Self {
            current: key.id.clone(),
            keys: BTreeMap::from([(key.id.clone(), key)]),
        }
    }

    pub fn current(&self) -> &MasterKey {
        &self.keys[&self.current]
    }

    pub fn get(&self, id: &str) -> Option<&MasterKey> {
        self.keys.get(id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The same keys and a new one, which is current.
    pub fn with(&self, key: MasterKey) -> Self {
        let mut ring = Self::of_one(key);
        ring.keys.extend(self.copies(|_| true));
        ring
    }

    /// Without the keys of these ids; the current one always stays.
    pub fn without(&self, ids: &[String]) -> Self {
        let stays = |key: &MasterKey| key.id == self.current || !ids.contains(&key.id);
        Self {
            current: self.current.clone(),
            keys: self.copies(stays).collect(),
        }
    }

    fn copies(&self, which: impl Fn(&MasterKey) -> bool) -> impl Iterator<Item = (String, MasterKey)> {
        self.keys.values().filter(move |key| which(key)).map(|key| {
            (
                key.id.clone(),
                MasterKey::new(key.id.clone(), key.created_at, key.bytes.clone()),
            )
        })
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let body = checked_body(text)?;
        let mut lines = body
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        if lines.next() != Some(FIRST_LINE) {
            return Err(format!("its first line is not `{FIRST_LINE}`"));
        }
        let mut current = None;
        let mut keys = BTreeMap::new();
        for line in lines {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["current", id] if current.is_none() => current = Some(id.to_owned()),
                ["key", id, created_at, bytes] => {
                    let key = parse_key(id, created_at, bytes).ok_or("a `key` line is garbled")?;
                    keys.insert(id.to_owned(), key);
                }
                _ => return Err("a line is neither `current` nor `key`".to_owned()),
            }
        }
        let current = current.ok_or("no key is current")?;
        if !keys.contains_key(&current) {
            return Err("the current key is not among its keys".to_owned());
        }
        Ok(Self { current, keys })
    }

    pub fn render(&self) -> Zeroizing<String> {
        // Reserved at once, so that no copy of the keys is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(512 + 160 * self.keys.len()));
        for part in [FIRST_LINE, "\n", NOTICE, "\ncurrent ", &self.current, "\n"] {
            text.push_str(part);
        }
        for key in self.keys.values() {
            let created_at = key.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let bytes = Zeroizing::new(STANDARD.encode(key.bytes.as_slice()));
            for part in ["key ", &key.id, " ", &created_at, " ", &bytes, "\n"] {
                text.push_str(part);
            }
        }
        let sum = checksum(&text);
        for part in ["checksum ", &sum, "\n"] {
            text.push_str(part);
        }
        text
    }
}

fn parse_key(id: &str, created_at: &str, encoded: &str) -> Option<MasterKey> {
    let created_at = DateTime::parse_from_rfc3339(created_at).ok()?.to_utc();
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let bytes: [u8; KEY_LEN] = decoded.as_slice().try_into().ok()?;
    Some(MasterKey::new(id.to_owned(), created_at, Zeroizing::new(bytes)))
}

/// All before the checksum line, once the checksum has been found right.
fn checked_body(text: &str) -> Result<&str, String> {
    let at = text
        .rfind("checksum ")
        .ok_or("its last line, the checksum, is missing")?;
    let (body, last) = text.split_at(at);
    if last
        .strip_prefix("checksum ")
        .and_then(|sum| sum.strip_suffix('\n'))
        != Some(&checksum(body))
    {
        return Err("its checksum does not match".to_owned());
    }
    Ok(body)
}

fn checksum(body: &str) -> String {
    hex(&digest(&SHA256, body.as_bytes()).as_ref()[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
