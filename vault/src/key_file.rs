//! The master-key file on disk, and its keyring in memory.
//!
//! The file is replaced as a whole (written beside, synced, renamed), so that a crash leaves the old or the new
//! one. Access for others than the owner is refused, but for reading by the group, which mounted secrets need
//! and which is warned of.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::clock::{Chance, NoChance};
use crate::files::{beside, folder_of, lock_beside, make_folder_of, private};
use crate::keyring::{Keyring, MasterKey};

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
        make_folder_of(path).map_err(failed)?;
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

    /// Held by whoever rotates.
    pub fn lock_for_rotation(&self) -> Result<File, KeyringError> {
        let lock = lock_beside(&self.path).map_err(|cause| KeyringError::File {
            doing: "lock",
            file: self.path.clone(),
            cause,
        })?;
        lock.ok_or_else(|| KeyringError::Rotating {
            file: self.path.clone(),
        })
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
    let unique = format!(".new-{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
    let beside = beside(path, &unique);
    let mut file = private().create_new(true).open(&beside)?;
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
    File::open(folder_of(path))?.sync_all()
}
