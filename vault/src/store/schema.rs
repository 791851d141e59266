//! Which migrations a database has, and applying those it lacks.
//!
//! Two processes may start at once. On Postgres the migrator takes an advisory lock; for SQLite a lock file
//! beside the database does the same, taken before the first connection, since switching to WAL cannot wait
//! for a lock by itself.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;

use super::db::{Link, Place, Single, on};
use crate::error::OpenError;
use crate::files::{lock_beside, make_folder_of, private};

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

const LOCK_TIME: Duration = Duration::from_secs(60);

/// What a database has of our tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Never migrated.
    Empty,
    Behind(usize),
    Current,
    /// Has a migration that this binary does not know.
    Newer(i64),
}

impl Schema {
    pub fn pending(self) -> usize {
        match self {
            Schema::Empty => SQLITE.iter().count(),
            Schema::Behind(pending) => pending,
            Schema::Current | Schema::Newer(_) => 0,
        }
    }
}

/// Makes the folder and the empty database file, readable by the owner alone, and takes the lock.
pub(crate) async fn prepare_file(file: &Path) -> Result<File, OpenError> {
    let failed = |cause| OpenError::DatabaseFile {
        file: file.to_owned(),
        cause,
    };
    make_folder_of(file).map_err(failed)?;
    let deadline = Instant::now() + LOCK_TIME;
    let lock = loop {
        match lock_beside(file).map_err(failed)? {
            Some(lock) => break lock,
            None if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
            None => {
                return Err(OpenError::MigrationLock {
                    file: file.to_owned(),
                });
            }
        }
    };
    private().open(file).map_err(failed)?;
    Ok(lock)
}

pub(crate) async fn read(connection: &mut Single, place: &Place) -> Result<Schema, OpenError> {
    let unreachable = |cause| OpenError::Database {
        database: place.name(),
        cause,
    };
    if !has_migrations_table(connection.link())
        .await
        .map_err(unreachable)?
    {
        return Ok(Schema::Empty);
    }
    let applied: Vec<i64> = on!(connection.link(), c => {
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(c)
            .await
    })
    .map_err(unreachable)?;
    let known = migrator(connection);
    if let Some(newer) = applied.iter().find(|version| !known.version_exists(**version)) {
        return Ok(Schema::Newer(*newer));
    }
    Ok(match known.iter().count() - applied.len() {
        0 => Schema::Current,
        _ if applied.is_empty() => Schema::Empty,
        pending => Schema::Behind(pending),
    })
}

pub(crate) async fn migrate(connection: &mut Single, place: &Place) -> Result<(), OpenError> {
    let migrator = migrator(connection);
    match connection {
        Single::Sqlite(connection) => migrator.run(connection).await,
        Single::Postgres(connection) => migrator.run(connection).await,
    }
    .map_err(|cause| OpenError::Migration {
        database: place.name(),
        cause,
    })
}

fn migrator(connection: &Single) -> &'static Migrator {
    match connection {
        Single::Sqlite(_) => &SQLITE,
        Single::Postgres(_) => &POSTGRES,
    }
}

async fn has_migrations_table(link: Link<'_>) -> Result<bool, sqlx::Error> {
    match link {
        Link::Sqlite(c) => {
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')")
                .fetch_one(c)
                .await
        }
        Link::Postgres(c) => {
            sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
                .fetch_one(c)
                .await
        }
    }
}
