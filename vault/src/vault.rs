//! The vault as a whole: what it is made of, whether it is ready, how it closes.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::{Mutex, RwLock};
use policies::descriptor::Providers;
use policies::vocabulary::{
    Actor, AuditAction, AuditEvent, AuditOutcome, Caller, CredentialId, Operation, Owner, ProviderId, TokenId,
};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::cache::{Cache, CacheKey, Generations, Shard};
use crate::clock::{Clock, SystemChance, to_microseconds};
use crate::credential::Credential;
use crate::error::{During, VaultError};
use crate::key_file::KeyringFile;
use crate::opening;
use crate::recorder::Recorder;
use crate::revisions::Revisions;
use crate::store::db::{Db, Tx};
use crate::store::{audit, revision};
use crate::telemetry::Metrics;
use crate::token::TokenHash;
use policies::vocabulary::Selection;

pub struct VaultSettings {
    /// `sqlite://path` or `postgres://…`.
    pub url: String,
    pub max_connections: u32,
    pub master_key_file: PathBuf,
    /// Whether opening applies migrations that are missing.
    pub migrate: bool,
    /// Where events wait for the database: this file, and segments of it beside it.
    pub journal: PathBuf,
    /// How large the journal may grow before events are dropped and counted.
    pub journal_max_bytes: u64,
    pub clock: Arc<dyn Clock>,
}

/// Cheap to clone; all clones are one vault. Opened on the runtime that its work is to run on.
#[derive(Clone)]
pub struct Vault(pub(crate) Arc<Inner>);

/// What there is to check.
pub enum Checkable {
    /// No credential yet, and no key file that one could need.
    Nothing,
    /// Migrations that serving applies first.
    Pending(usize),
    Vault(Vault),
}

pub(crate) struct Inner {
    pub db: Arc<Db>,
    pub keyring: KeyringFile,
    pub providers: Arc<Providers>,
    pub clock: Arc<dyn Clock>,
    pub chance: SystemChance,
    pub metrics: Arc<Metrics>,
    pub generations: Arc<Generations>,
    pub revisions: Revisions,
    pub tokens: Arc<Cache<TokenHash, KnownToken>>,
    pub credentials: Arc<Cache<CredentialKey, Credential>>,
    pub selections: Arc<Cache<SelectionKey, Selection>>,
    pub system: RwLock<HashMap<ProviderId, Arc<Credential>>>,
    /// Status changes under way, so that a thousand calls on a dead key make one of them.
    pub noting: Mutex<HashSet<(CredentialId, i64)>>,
    /// Tokens used since the recorder last looked, at most once a minute each.
    pub used_tokens: Arc<Mutex<HashMap<TokenId, DateTime<Utc>>>>,
    /// Commands have none.
    pub recorder: Option<Recorder>,
    pub runtime: Handle,
}

/// A token that holds, as the cache keeps it.
pub(crate) struct KnownToken {
    pub caller: Arc<Caller>,
    /// The minute, since 1970, of the last use that was noted.
    pub noted: AtomicI64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct CredentialKey(pub Owner, pub ProviderId);

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SelectionKey(pub Owner, pub Operation);

impl CacheKey for CredentialKey {
    fn shard(&self) -> Shard {
        Shard::of(&self.0)
    }
}

impl CacheKey for SelectionKey {
    fn shard(&self) -> Shard {
        Shard::of(&self.0)
    }
}

impl CacheKey for TokenHash {
    fn shard(&self) -> Shard {
        Shard::of(self)
    }
}

/// Makes cache entries void when it is dropped: after the commit, and also when whoever made the change left
/// before its outcome was known.
pub(crate) struct Voids {
    generations: Arc<Generations>,
    shards: Vec<Shard>,
}

impl Voids {
    pub fn add(&mut self, shard: Shard) {
        self.shards.push(shard);
    }
}

impl Drop for Voids {
    fn drop(&mut self) {
        self.shards
            .iter()
            .for_each(|shard| self.generations.raise(*shard));
    }
}

impl Vault {
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Whether the database answers within a second.
    pub async fn ready(&self) -> bool {
        let asked = tokio::time::timeout(Duration::from_secs(1), self.0.revision()).await;
        matches!(asked, Ok(Ok(_)))
    }

    /// Differs after any change to a token, a credential, a selection or the system-level keys, on whatever node it
    /// was made; a use of them does not move it. For whoever holds on to an answer of the vault's: keep the mark
    /// read before asking, and ask again once it has moved. Time moves no mark: that a token expires is for the
    /// holder to see.
    pub fn change_mark(&self) -> u64 {
        self.0.generations.mark()
    }

    /// Returns once everyone else on this database has had the time to notice what was changed, so that a
    /// change that is answered after this holds on every node. A server on a database of its own has nobody
    /// to wait for; a command always has the server.
    pub async fn let_others_notice(&self) {
        if self.0.db.is_shared() || self.0.recorder.is_none() {
            tokio::time::sleep(opening::LOOK * 3 / 2).await;
        }
    }

    /// Brings what is recorded to the journal and, if it answers, to the database; closes the connections.
    pub async fn close(self) {
        if let Some(recorder) = &self.0.recorder {
            recorder.finish().await;
        }
        self.0.db.close().await;
    }
}

impl Inner {
    pub fn now(&self) -> DateTime<Utc> {
        to_microseconds(self.clock.now())
    }

    pub fn voids(&self) -> Voids {
        Voids {
            generations: self.generations.clone(),
            shards: Vec::new(),
        }
    }

    pub fn event(&self, by: &Actor, action: AuditAction) -> AuditEvent {
        AuditEvent {
            id: Uuid::now_v7(),
            at: self.now(),
            user: by.user.clone(),
            action,
            outcome: AuditOutcome::Ok,
            owner: None,
            provider: None,
            ip: by.ip,
            request_id: by.request_id,
            detail: None,
        }
    }

    /// Ends a transaction that changed something caches may hold.
    pub async fn commit_change(
        &self,
        mut tx: Tx,
        event: &AuditEvent,
        doing: &'static str,
    ) -> Result<(), VaultError> {
        audit::insert(tx.link(), &[event])
            .await
            .during("storing an audit event")?;
        let number = revision::raise(tx.link()).await.during(doing)?;
        tx.commit(doing).await?;
        self.revisions.made(number);
        Ok(())
    }

    /// Ends a transaction that only read.
    pub async fn commit_read(
        &self,
        mut tx: Tx,
        event: &AuditEvent,
        doing: &'static str,
    ) -> Result<(), VaultError> {
        audit::insert(tx.link(), &[event])
            .await
            .during("storing an audit event")?;
        tx.commit(doing).await
    }

    pub async fn revision(&self) -> Result<i64, VaultError> {
        const DOING: &str = "reading the revision";
        let mut reader = self.db.read(DOING).await?;
        revision::read(reader.link()).await.during(DOING)
    }

    /// Notices what others have changed.
    pub async fn look_for_changes(&self) -> Result<(), VaultError> {
        let asked_at = self.now();
        let number = self.revision().await?;
        if self.revisions.look(number) {
            self.generations.raise_all();
        }
        self.generations.confirm(asked_at);
        Ok(())
    }
}
