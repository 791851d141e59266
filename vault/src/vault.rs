//! The vault as a whole: how it opens, whether it is ready, how it closes.

use std::path::PathBuf;
use std::sync::Arc;

use policies::descriptor::Providers;

use crate::clock::Clock;
use crate::credential::SystemKey;
use crate::error::OpenError;
use crate::telemetry::Metrics;

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

#[derive(Clone)]
pub struct Vault(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub metrics: Metrics,
}

impl Vault {
    /// Opens for serving: with the recorder, and with an eye on changes that others make.
    pub async fn open(settings: VaultSettings, providers: Arc<Providers>, system: Vec<SystemKey>) -> Result<Vault, OpenError> {
        todo!()
    }
    /// Opens for a command: no recorder, so that a server may run beside it. `record` drops and counts.
    pub async fn open_for_command(settings: VaultSettings, providers: Arc<Providers>, system: Vec<SystemKey>) -> Result<Vault, OpenError> {
        todo!()
    }
    /// Applies the migrations that are missing; returns how many.
    pub async fn migrate(url: &str) -> Result<usize, OpenError> {
        todo!()
    }
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
    /// Whether the database answers within a second.
    pub async fn ready(&self) -> bool {
        todo!()
    }
    /// Brings what is recorded to the journal and, if it answers, to the database; closes the connections.
    pub async fn close(self) {
        todo!()
    }
}
