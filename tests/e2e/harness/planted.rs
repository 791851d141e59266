//! The secrets of a run, and the search for them: as they are, in base64, in hex, percent-encoded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem::Finder;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Files that hold secrets because that is what they are for.
const KEEPERS: &[&str] = &["voxgate.toml", "master.key", "issuer.secret", "gateway.pem"];

#[derive(Default)]
pub struct Planted {
    /// Spelling of a secret → what it is.
    spellings: Mutex<BTreeMap<Vec<u8>, String>>,
    found: Mutex<Vec<String>>,
}

impl Planted {
    /// Adds a secret that must be seen nowhere from now on.
    pub fn plant(&self, what: &str, secret: &str) {
        assert!(secret.len() >= 16, "{what} is too short to be searched for");
        let mut spellings = self.spellings.lock().unwrap();
        for (form, spelling) in spell(secret) {
            spellings.insert(spelling.into_bytes(), format!("{what}, {form}"));
        }
    }

    /// Notes every secret that occurs in `bytes`.
    pub fn search(&self, place: &str, bytes: &[u8]) {
        for (spelling, what) in self.spellings.lock().unwrap().iter() {
            if let Some(at) = Finder::new(spelling).find(bytes) {
                self.found
                    .lock()
                    .unwrap()
                    .push(format!("{what} in {place} at byte {at}"));
            }
        }
    }

    /// Searches every file below a folder but those that are there to hold secrets.
    pub fn search_folder(&self, folder: &Path) {
        let entries =
            std::fs::read_dir(folder).unwrap_or_else(|error| panic!("list {}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("an entry of the run's folder").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                self.search_folder(&path);
            } else if !KEEPERS.contains(&name.as_str()) {
                match std::fs::read(&path) {
                    Ok(bytes) => self.search(&name, &bytes),
                    // SQLite removes its write-ahead log when the last connection closes.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => panic!("read {}: {error}", path.display()),
                }
            }
        }
    }

    /// What was found so far, and where.
    pub fn found(&self) -> Vec<String> {
        self.found.lock().unwrap().clone()
    }
}

fn spell(secret: &str) -> Vec<(&'static str, String)> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut spellings = vec![
        ("as it is", secret.to_owned()),
        (
            "percent-encoded",
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        ),
        ("in upper-case hex", hex.to_uppercase()),
        ("in hex", hex),
    ];
    for offset in 0..3 {
        let base64 = inner_base64(secret, offset);
        spellings.push(("in URL-safe base64", base64.replace('+', "-").replace('/', "_")));
        spellings.push(("in base64", base64));
    }
    spellings
}

/// The characters of base64 that depend on the secret alone when `offset` other bytes stand before it.
fn inner_base64(secret: &str, offset: usize) -> String {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(secret.as_bytes());
    let encoded = STANDARD_NO_PAD.encode(&bytes);
    let start = (offset * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    encoded[start..end].to_owned()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const SECRET: &str = "sk+planted/0123456789~abcdef";

    fn finds(bytes: &[u8]) -> bool {
        let planted = Planted::default();
        planted.plant("a key", SECRET);
        planted.search("here", bytes);
        !planted.found().is_empty()
    }

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        assert!(finds(format!("key={SECRET};").as_bytes()));
        assert!(finds(
            utf8_percent_encode(SECRET, NON_ALPHANUMERIC)
                .to_string()
                .as_bytes()
        ));
        for before in ["", "x", "xy", "xyz"] {
            let text = format!("{before}{SECRET}{before}");
            assert!(
                finds(STANDARD.encode(&text).as_bytes()),
                "base64 after {before:?}"
            );
            assert!(
                finds(URL_SAFE.encode(&text).as_bytes()),
                "URL-safe base64 after {before:?}"
            );
        }
    }

    #[test]
    fn its_last_four_characters_are_no_secret() {
        assert!(!finds(format!("…{}", &SECRET[SECRET.len() - 4..]).as_bytes()));
    }
}
