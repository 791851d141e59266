//! Knows SQLite from Postgres while calls are served; besides, only the texts of insertions differ.
//!
//! SQLite has one writer at a time, so its writers queue for a pool of one connection instead of running into
//! each other's locks; readers have connections of their own. Every wait has an end: a database that hangs
//! yields an error within five seconds.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Postgres, Sqlite, Transaction};

use crate::error::{During, OpenError, VaultError};

/// How long any call to the database may take, all waiting included.
const ANSWER_TIME: Duration = Duration::from_millis(4_800);
const ACQUIRE_TIME: Duration = Duration::from_secs(3);
const STATEMENT_TIME: Duration = Duration::from_secs(4);
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// SQLite answers from memory, mostly of the system's; more readers would only hold more of it.
const SQLITE_READERS: u32 = 4;
/// Each connection keeps this many statements parsed.
const STATEMENTS: usize = 48;

/// Where the database is, from its URL.
#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

impl Place {
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        let unusable = |error: sqlx::Error| OpenError::Url(error.to_string());
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(unusable)?;
            if options.get_filename().as_os_str().is_empty() || url.contains(":memory:") {
                return Err(OpenError::Url(
                    "a SQLite database needs a file: sqlite://PATH".to_owned(),
                ));
            }
            let options = options
                .journal_mode(SqliteJournalMode::Wal)
                // A commit is on disk when it returns: rotating relies on it before it drops an old master key.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(STATEMENT_TIME)
                .foreign_keys(true)
                .statement_cache_capacity(STATEMENTS)
                .disable_statement_logging();
            return Ok(Place::Sqlite(options));
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url).map_err(unusable)?;
            return Ok(Place::Postgres(
                options.application_name("voxgate").disable_statement_logging(),
            ));
        }
        Err(OpenError::Url(
            "it begins with neither sqlite:// nor postgres://".to_owned(),
        ))
    }

    /// As people may read it: without user and password.
    pub fn name(&self) -> String {
        match self {
            Place::Sqlite(options) => options.get_filename().display().to_string(),
            Place::Postgres(options) => {
                let database = options.get_database().unwrap_or_default();
                format!(
                    "postgres://{}:{}/{database}",
                    options.get_host(),
                    options.get_port()
                )
            }
        }
    }

    pub fn file(&self) -> Option<&Path> {
        match self {
            Place::Sqlite(options) => Some(options.get_filename()),
            Place::Postgres(_) => None,
        }
    }

    /// One connection without limits on how long a statement may take, for opening and migrating.
    pub async fn connect(&self) -> Result<Single, OpenError> {
        let connecting = async {
            Ok(match self {
                Place::Sqlite(options) => Single::Sqlite(SqliteConnection::connect_with(options).await?),
                Place::Postgres(options) => Single::Postgres(PgConnection::connect_with(options).await?),
            })
        };
        let connected = tokio::time::timeout(CONNECT_TIME, connecting).await;
        connected
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map_err(|cause| OpenError::Database {
                database: self.name(),
                cause,
            })
    }
}

/// A connection outside any pool.
pub(crate) enum Single {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Single {
    pub fn link(&mut self) -> Link<'_> {
        match self {
            Single::Sqlite(connection) => Link::Sqlite(connection),
            Single::Postgres(connection) => Link::Postgres(connection),
        }
    }

    pub async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Single::Sqlite(connection) => connection.close().await,
            Single::Postgres(connection) => connection.close().await,
        }
    }
}

/// What statements run on, borrowed from a transaction or a connection.
pub(crate) enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Link<'_> {
    /// For one more statement on the same connection.
    pub fn again(&mut self) -> Link<'_> {
        match self {
            Link::Sqlite(connection) => Link::Sqlite(connection),
            Link::Postgres(connection) => Link::Postgres(connection),
        }
    }
}

/// Runs one expression on either database; `$connection` is its connection there.
macro_rules! on {
    ($link:expr, $connection:ident => $query:expr) => {
        match $link {
            $crate::store::db::Link::Sqlite($connection) => $query,
            $crate::store::db::Link::Postgres($connection) => $query,
        }
    };
}
pub(crate) use on;

/// The pools.
pub(crate) enum Db {
    Sqlite { read: SqlitePool, write: SqlitePool },
    Postgres(PgPool),
}

/// A transaction. Dropped without [`commit`](Tx::commit), it leaves nothing behind.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A connection for single statements that only read.
pub(crate) enum Reader {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Db {
    /// Whether other nodes may be at work on it.
    pub fn is_shared(&self) -> bool {
        matches!(self, Db::Postgres(_))
    }

    /// Connects when the first statement comes.
    pub fn open(place: &Place, max_connections: u32) -> Self {
        match place {
            Place::Sqlite(options) => {
                let pool = |size, options| {
                    SqlitePoolOptions::new()
                        .max_connections(size)
                        .acquire_timeout(ACQUIRE_TIME)
                        .connect_lazy_with(options)
                };
                // Usage events touch a page of their index for almost each user: the writer has room for these (in
                // KiB where below zero), and copies them from the log to the database once for several batches.
                let writing = options
                    .clone()
                    .pragma("cache_size", "-2048")
                    .pragma("wal_autocheckpoint", "4000");
                let reading = options.clone().pragma("cache_size", "-512");
                Db::Sqlite {
                    read: pool(max_connections.clamp(1, SQLITE_READERS), reading),
                    write: pool(1, writing),
                }
            }
            Place::Postgres(options) => {
                let limit = STATEMENT_TIME.as_millis().to_string();
                let limits = [
                    ("statement_timeout", &limit),
                    ("idle_in_transaction_session_timeout", &limit),
                ];
                let pool = PgPoolOptions::new()
                    .max_connections(max_connections.max(1))
                    .acquire_timeout(ACQUIRE_TIME)
                    // Without this, a connection given up on would hold its place in the pool until TCP gives up.
                    .after_release(|connection, _| {
                        Box::pin(async move {
                            let ping = tokio::time::timeout(Duration::from_secs(2), connection.ping()).await;
                            ping.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                        })
                    })
                    .connect_lazy_with(options.clone().options(limits));
                Db::Postgres(pool)
            }
        }
    }

    /// For everything that changes something.
    pub async fn begin(&self, doing: &'static str) -> Result<Tx, VaultError> {
        match self {
            Db::Sqlite { write, .. } => write.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Db::Postgres(pool) => pool.begin().await.map(Tx::Postgres),
        }
        .during(doing)
    }

    pub async fn read(&self, doing: &'static str) -> Result<Reader, VaultError> {
        match self {
            Db::Sqlite { read, .. } => read.acquire().await.map(Reader::Sqlite),
            Db::Postgres(pool) => pool.acquire().await.map(Reader::Postgres),
        }
        .during(doing)
    }

    pub async fn close(&self) {
        match self {
            Db::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub fn link(&mut self) -> Link<'_> {
        match self {
            Tx::Sqlite(tx) => Link::Sqlite(tx),
            Tx::Postgres(tx) => Link::Postgres(tx),
        }
    }

    pub async fn commit(self, doing: &'static str) -> Result<(), VaultError> {
        match self {
            Tx::Sqlite(tx) => tx.commit().await,
            Tx::Postgres(tx) => tx.commit().await,
        }
        .during(doing)
    }
}

impl Reader {
    pub fn link(&mut self) -> Link<'_> {
        match self {
            Reader::Sqlite(connection) => Link::Sqlite(connection),
            Reader::Postgres(connection) => Link::Postgres(connection),
        }
    }
}

/// Puts an end to the waiting for one call.
pub(crate) async fn within<T>(
    doing: &'static str,
    work: impl Future<Output = Result<T, VaultError>>,
) -> Result<T, VaultError> {
    let answered = tokio::time::timeout(ANSWER_TIME, work).await;
    answered.unwrap_or(Err(VaultError::Unavailable { doing, cause: None }))
}
