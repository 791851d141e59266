//! What can go wrong, once for opening the vault and once for using it.
//!
//! Neither ever holds a key, a token, or the password in a database URL.

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::NoChance;
use crate::key_file::KeyringError;

/// Why the vault does not open. Each message says what to do where that is not plain.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("database.url is not usable: {0}")]
    Url(String),
    #[error("cannot reach the database {database}")]
    Database {
        database: String,
        #[source]
        cause: sqlx::Error,
    },
    #[error("cannot prepare the folder or file of the database {file}")]
    DatabaseFile {
        file: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("another process has been migrating {file} for too long; see what holds it")]
    MigrationLock { file: PathBuf },
    #[error(
        "the database {database} lacks {pending} migration(s); run `voxgate migrate`, or set database.migrate = true"
    )]
    MigrationsPending { database: String, pending: usize },
    #[error(
        "the database {database} was made by a newer voxgate (migration {version}); run that or a newer one"
    )]
    NewerDatabase { database: String, version: i64 },
    #[error("cannot migrate the database {database}")]
    Migration {
        database: String,
        #[source]
        cause: sqlx::migrate::MigrateError,
    },
    #[error(transparent)]
    MasterKey(#[from] KeyringError),
    #[error("cannot use the journal {file}")]
    Journal {
        file: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the journal {file} is in use by another process; give each `serve` a data folder of its own")]
    JournalInUse { file: PathBuf },
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Why a call to the vault failed. Absence is not an error but `None`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VaultError {
    /// No answer, or none in time; the same call may succeed later.
    #[error("the database did not answer while {doing}")]
    Unavailable {
        doing: &'static str,
        #[source]
        cause: Option<Arc<sqlx::Error>>,
    },
    /// The database answered, with an error.
    #[error("the database refused {doing}")]
    Database {
        doing: &'static str,
        #[source]
        cause: Arc<sqlx::Error>,
    },
    #[error("row {id} of table {table} makes no sense: {what}")]
    Corrupt {
        table: &'static str,
        id: String,
        what: String,
    },
    /// A credential's seal does not open: changed, moved, replayed, or the master key is not there.
    #[error("credential {id} does not open: {why}")]
    Sealed { id: String, why: String },
    #[error("the cursor is not one of ours")]
    Cursor,
    #[error(transparent)]
    Chance(#[from] NoChance),
    #[error("the master key file cannot be used")]
    MasterKey(#[source] Arc<KeyringError>),
}

impl VaultError {
    /// Whether the same call may succeed later without anything being mended.
    pub fn is_transient(&self) -> bool {
        matches!(self, VaultError::Unavailable { .. })
    }

    /// Whether the database will never take these values, whenever it is asked.
    pub(crate) fn is_about_values(&self) -> bool {
        let VaultError::Database { cause, .. } = self else {
            return false;
        };
        let Some(code) = cause.as_database_error().and_then(|error| error.code()) else {
            return false;
        };
        match code.parse::<u32>() {
            // SQLite: too big, constraint, mismatch.
            Ok(number) if code.len() < 5 => matches!(number & 0xff, 18..=20),
            // Postgres: data exception, integrity constraint violation, too large for an index or a row.
            _ => ["22", "23", "54"].iter().any(|class| code.starts_with(class)),
        }
    }
}

impl From<KeyringError> for VaultError {
    fn from(error: KeyringError) -> Self {
        VaultError::MasterKey(Arc::new(error))
    }
}

/// Says what was being attempted when sqlx failed.
pub(crate) trait During<T> {
    fn during(self, doing: &'static str) -> Result<T, VaultError>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, doing: &'static str) -> Result<T, VaultError> {
        self.map_err(|cause| match cause {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => VaultError::Unavailable {
                doing,
                cause: Some(Arc::new(cause)),
            },
            sqlx::Error::Database(ref error) if is_passing(error.code().as_deref()) => {
                VaultError::Unavailable {
                    doing,
                    cause: Some(Arc::new(cause)),
                }
            }
            cause => VaultError::Database {
                doing,
                cause: Arc::new(cause),
            },
        })
    }
}

/// Error codes that say "not now": SQLite's busy, locked, I/O and full, Postgres's classes for lost
/// connections, exhausted resources, operator intervention (also statement timeouts) and lost races.
fn is_passing(code: Option<&str>) -> bool {
    let Some(code) = code else { return false };
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 10 | 13 | 14),
        _ => ["08", "53", "57", "58", "40"]
            .iter()
            .any(|class| code.starts_with(class)),
    }
}
