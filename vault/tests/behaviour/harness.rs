//! A folder, a database and a clock of its own for each test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use policies::descriptor::{Providers, Settings};
use policies::vocabulary::{
    Actor, CredentialSource, Mode, Operation, Outcome, Owner, ProviderId, UsageEvent, UserId,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use throwaway_postgres::TestDatabase;
use uuid::Uuid;
use vault::{FrozenClock, NewCredential, OpenError, Secret, Vault, VaultSettings};

pub const KEY: &str = "sk-planted-0123456789-planted";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

pub struct House {
    pub kind: Kind,
    pub url: String,
    pub clock: FrozenClock,
    pub migrate: bool,
    pub journal_max_bytes: u64,
    folder: PathBuf,
    /// Removes the folder with the house; another process's house only looks in.
    _own: Option<TempDir>,
}

/// A connection beside the vault's, for looking and for tampering.
pub enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl House {
    pub async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}/voxgate.db", folder.path().display()),
            Kind::Postgres => TestDatabase::create().await.url("any"),
        };
        let clock = FrozenClock::at("2026-11-22T09:40:00Z".parse().unwrap());
        let path = folder.path().to_owned();
        Self {
            kind,
            url,
            clock,
            migrate: true,
            journal_max_bytes: 1 << 30,
            folder: path,
            _own: Some(folder),
        }
    }

    /// The house of another process.
    pub fn of(url: &str, folder: &str) -> Self {
        let kind = if url.starts_with("sqlite") {
            Kind::Sqlite
        } else {
            Kind::Postgres
        };
        Self {
            kind,
            url: url.to_owned(),
            clock: FrozenClock::at(Utc::now()),
            migrate: true,
            journal_max_bytes: 1 << 30,
            folder: folder.into(),
            _own: None,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn key_file(&self) -> PathBuf {
        self.path("master.key")
    }

    pub fn settings(&self) -> VaultSettings {
        VaultSettings {
            url: self.url.clone(),
            max_connections: 8,
            master_key_file: self.key_file(),
            migrate: self.migrate,
            journal: self.path("usage.journal"),
            journal_max_bytes: self.journal_max_bytes,
            clock: Arc::new(self.clock.clone()),
        }
    }

    pub async fn try_open(&self) -> Result<Vault, OpenError> {
        Vault::open(self.settings(), providers(), Vec::new()).await
    }

    pub async fn open(&self) -> Vault {
        self.try_open().await.unwrap()
    }

    pub async fn open_for_command(&self) -> Vault {
        Vault::open_for_command(self.settings(), providers(), Vec::new())
            .await
            .unwrap()
    }

    pub async fn raw(&self) -> Raw {
        match self.kind {
            Kind::Sqlite => Raw::Sqlite(SqliteConnection::connect(&self.url).await.unwrap()),
            Kind::Postgres => Raw::Postgres(PgConnection::connect(&self.url).await.unwrap()),
        }
    }

    pub async fn execute(&self, sql: &str) {
        self.raw().await.execute(sql).await;
    }

    pub async fn count(&self, sql: &str) -> i64 {
        self.raw().await.count(sql).await
    }
}

impl Raw {
    pub async fn execute(&mut self, sql: &str) {
        match self {
            Raw::Sqlite(c) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(c).await.map(|_| ()),
            Raw::Postgres(c) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(c).await.map(|_| ()),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub async fn count(&mut self, sql: &str) -> i64 {
        match self {
            Raw::Sqlite(c) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(c).await,
            Raw::Postgres(c) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(c).await,
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn bytes(&mut self, sql: &str) -> Vec<u8> {
        match self {
            Raw::Sqlite(c) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(c).await,
            Raw::Postgres(c) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(c).await,
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn set_bytes(&mut self, sql: &str, bytes: &[u8]) {
        match self {
            Raw::Sqlite(c) => sqlx::query(AssertSqlSafe(sql))
                .bind(bytes)
                .execute(c)
                .await
                .map(|_| ()),
            Raw::Postgres(c) => sqlx::query(AssertSqlSafe(sql))
                .bind(bytes)
                .execute(c)
                .await
                .map(|_| ()),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

pub fn providers() -> Arc<Providers> {
    Arc::new(Providers::built_in().unwrap())
}

pub fn elevenlabs() -> ProviderId {
    ProviderId::new("elevenlabs")
}

pub fn azure() -> ProviderId {
    ProviderId::new("azure")
}

pub fn user(name: &str) -> Owner {
    Owner::User(UserId::new(name))
}

pub fn actor(name: &str) -> Actor {
    Actor {
        user: Some(UserId::new(name)),
        ip: Some("192.0.2.7".parse().unwrap()),
        request_id: Uuid::now_v7(),
    }
}

pub fn credential_with(
    owner: &Owner,
    provider: &ProviderId,
    key: &str,
    given: &[(&str, &str)],
) -> NewCredential {
    let given: Settings = given
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let providers = providers();
    let known = providers.get(provider.as_str()).unwrap();
    let settings = known.settings(&given).unwrap();
    NewCredential {
        owner: owner.clone(),
        provider: provider.clone(),
        secret: Secret::new(key),
        hosts: known.hosts(&settings).unwrap(),
        settings,
        status_reason: None,
        status_detail: None,
    }
}

pub fn credential(owner: &Owner, key: &str) -> NewCredential {
    credential_with(owner, &elevenlabs(), key, &[])
}

pub fn usage(name: &str, at: DateTime<Utc>) -> UsageEvent {
    UsageEvent {
        id: Uuid::now_v7(),
        at,
        user: UserId::new(name),
        token_id: None,
        provider: elevenlabs(),
        model: Some("eleven_flash_v2_5".to_owned()),
        operation: Operation::Tts,
        mode: Mode::Native,
        credential_id: None,
        credential_source: CredentialSource::User,
        status: Some(200),
        outcome: Outcome::Ok,
        bytes_in: 100,
        bytes_out: 20_000,
        characters: Some(42),
        audio_seconds: Some(1.5),
        estimated_cost: Some(0.25),
        ttfb_ms: Some(80),
        duration_ms: 400,
        attempt: 1,
        request_id: Uuid::now_v7(),
        provider_request_id: None,
        messages_in: None,
        messages_out: None,
        audio_seconds_in: None,
        audio_seconds_out: None,
        close_code: None,
        closed_by: None,
    }
}

/// Waits until it holds, at most ten seconds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes the database accept no event until the connection is dropped.
pub async fn block(raw: &mut Raw, house: &House) {
    raw.execute(match house.kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Postgres => "BEGIN; LOCK TABLE usage IN ACCESS EXCLUSIVE MODE",
    })
    .await;
}

/// Where events wait.
pub fn journal_files(house: &House) -> Vec<PathBuf> {
    let files = fs::read_dir(house.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_journal = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("usage.journal") && !name.ends_with(".lock")
    };
    let mut found: Vec<_> = files.filter(is_journal).collect();
    found.sort();
    found
}

/// How many audit events there are, by action.
pub async fn audited(vault: &Vault) -> BTreeMap<&'static str, usize> {
    let filter = vault::AuditFilter {
        limit: 1000,
        ..vault::AuditFilter::default()
    };
    let mut counts = BTreeMap::new();
    for event in vault.read_audit(filter).await.unwrap().items {
        *counts.entry(event.action.as_str()).or_default() += 1;
    }
    counts
}

/// Makes one test of a sentence for each database.
#[macro_export]
macro_rules! on_both {
    ($($sentence:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence($crate::harness::House::new($crate::harness::Kind::Sqlite).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence($crate::harness::House::new($crate::harness::Kind::Postgres).await).await;
            })+
        }
    };
}
