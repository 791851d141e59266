//! The master-key file: a few lines of text with several keys, one of them current.
//!
//! ```text
//! voxgate master keys 1
//! current 5f0c…
//! key 5f0c… 2026-11-22T09:40:00Z <base64>
//! checksum <hex>
//! ```
//!
//! Lines that begin with `#` are comments. The checksum tells a cut or garbled file from a whole one. The file
//! is replaced as a whole (written beside, synced, renamed), so that a crash leaves the old or the new one.
//! Access for others than the owner is refused, but for reading by the group, which mounted secrets need and
//! which is warned of.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::RwLock;
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

/// The keyring in memory beside the file it came from.
pub(crate) struct KeyringFile {
    path: PathBuf,
    ring: RwLock<Arc<Keyring>>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(
        "the master key file {file} is missing, and the database holds credentials that only it opens; put it back from its backup"
    )]
    Missing { file: PathBuf },
    #[error("the master key file {file} is cut off or damaged ({what}); put it back from its backup")]
    Damaged { file: PathBuf, what: String },
    #[error(
        "the master key file {file} belongs to another database or is an old copy: it does not hold master key {id} \
         as this database knows it; set vault.master_key_file to the right one or put it back from its backup"
    )]
    Wrong { file: PathBuf, id: String },
    #[error("the master key file {file} is open to others (mode {mode:04o}); run `chmod 600 {file}`")]
    Exposed { file: PathBuf, mode: u32 },
    #[error("another process is rotating the master keys in {file}; wait until it is done")]
    Rotating { file: PathBuf },
    #[error("cannot {doing} the master key file {file}")]
    File {
        doing: &'static str,
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(transparent)]
    Chance(#[from] NoChance),
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
    fn of_one(key: MasterKey) -> Self {
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

    fn parse(text: &str) -> Result<Self, String> {
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

    fn render(&self) -> Zeroizing<String> {
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

impl KeyringFile {
    /// `Ok(None)` when there is no such file.
    pub fn load(path: &Path) -> Result<Option<Self>, KeyringError> {
        let ring = match read(path) {
            Err(KeyringError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            other => other?,
        };
        Ok(Some(Self {
            path: path.to_owned(),
            ring: RwLock::new(Arc::new(ring)),
        }))
    }

    /// Makes the file with one new key, unless another process has made it in the meantime; then that one counts.
    pub fn create(path: &Path, now: DateTime<Utc>, chance: &dyn Chance) -> Result<Self, KeyringError> {
        let ring = Keyring::of_one(MasterKey::generate(now, chance)?);
        let failed = |cause| KeyringError::File {
            doing: "create",
            file: path.to_owned(),
            cause,
        };
        if let Some(folder) = folder_of(path) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let beside = write_beside(path, &ring).map_err(failed)?;
        // A link, unlike a rename, never replaces what is there.
        let linked = fs::hard_link(&beside, path);
        fs::remove_file(&beside).map_err(failed)?;
        match linked {
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(failed(cause)),
            _ => sync_folder(path).map_err(failed)?,
        }
        Self::load(path)?.ok_or_else(|| KeyringError::Missing {
            file: path.to_owned(),
        })
    }

    pub fn ring(&self) -> Arc<Keyring> {
        self.ring.read().clone()
    }

    /// Reads the file again: a rotation in another process may have changed it.
    pub fn reload(&self) -> Result<Arc<Keyring>, KeyringError> {
        let ring = Arc::new(read(&self.path)?);
        *self.ring.write() = ring.clone();
        Ok(ring)
    }

    /// Puts another keyring in the file's place and in memory, in this order.
    pub fn replace(&self, ring: Keyring) -> Result<Arc<Keyring>, KeyringError> {
        let failed = |cause| KeyringError::File {
            doing: "write",
            file: self.path.clone(),
            cause,
        };
        let beside = write_beside(&self.path, &ring).map_err(failed)?;
        fs::rename(&beside, &self.path).map_err(failed)?;
        sync_folder(&self.path).map_err(failed)?;
        let ring = Arc::new(ring);
        *self.ring.write() = ring.clone();
        Ok(ring)
    }

    /// Held by whoever rotates; the lock goes with the process that holds it.
    pub fn lock_for_rotation(&self) -> Result<File, KeyringError> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        let failed = |cause| KeyringError::File {
            doing: "lock",
            file: self.path.clone(),
            cause,
        };
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name);
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(fs::TryLockError::WouldBlock) => Err(KeyringError::Rotating {
                file: self.path.clone(),
            }),
            Err(fs::TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }
}

fn read(path: &Path) -> Result<Keyring, KeyringError> {
    let failed = |cause| KeyringError::File {
        doing: "read",
        file: path.to_owned(),
        cause,
    };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o037 != 0 {
        return Err(KeyringError::Exposed {
            file: path.to_owned(),
            mode,
        });
    }
    if mode & 0o040 != 0 {
        tracing::warn!(file = %path.display(), "the master key file may be read by its group");
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    let damaged = |what: String| KeyringError::Damaged {
        file: path.to_owned(),
        what,
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text".to_owned()))?;
    Keyring::parse(text).map_err(damaged)
}

/// Writes and syncs a new file in the same folder, readable by the owner alone.
fn write_beside(path: &Path, ring: &Keyring) -> io::Result<PathBuf> {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(
        ".new-{}-{}",
        std::process::id(),
        uuid::Uuid::new_v4().simple()
    ));
    let beside = PathBuf::from(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let written = file
        .write_all(ring.render().as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(cause) = written {
        // Half a key file is of no use to anyone; that it cannot be removed either is the lesser news.
        fs::remove_file(&beside).ok();
        return Err(cause);
    }
    Ok(beside)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path).unwrap_or(Path::new(".")))?.sync_all()
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}
