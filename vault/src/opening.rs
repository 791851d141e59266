//! How a vault opens: which checks come before which steps.
//!
//! The key file is read before the database is touched, and found to be this database's before anything in it
//! is changed, migrations included. A new key file is made only where no credential waits for an old one.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use policies::descriptor::Providers;
use policies::with_causes;
use tokio::runtime::Handle;

use crate::cache::{Around, Cache, Generations};
use crate::calls::system;
use crate::clock::SystemChance;
use crate::credential::SystemKey;
use crate::error::{During, OpenError, VaultError};
use crate::key_check::{settle, verify, verify_patiently};
use crate::key_file::KeyringFile;
use crate::recorder::{Recorder, Sink};
use crate::revisions::Revisions;
use crate::store::db::{Db, Place, Single, within};
use crate::store::revision;
use crate::store::schema::{self, Schema};
use crate::telemetry::Metrics;
use crate::vault::{Checkable, Inner, Vault, VaultSettings};

const TOKENS: u64 = 100_000;
const CREDENTIALS: u64 = 100_000;
const SELECTIONS: u64 = 100_000;
/// How soon changes made on other nodes and by commands are noticed.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

impl Vault {
    /// Opens for serving: with the recorder, and with an eye on changes that others make.
    pub async fn open(
        settings: VaultSettings,
        providers: Arc<Providers>,
        system: Vec<SystemKey>,
    ) -> Result<Vault, OpenError> {
        let base = base(&settings).await?;
        let sink = Sink {
            db: base.db.clone(),
            metrics: base.metrics.clone(),
            used_tokens: Arc::new(Mutex::new(HashMap::new())),
        };
        let recorder = Recorder::start(&settings.journal, settings.journal_max_bytes, sink)?;
        let vault = assemble(settings, base, Some(recorder), providers, system);
        vault.0.runtime.spawn(look_for_changes(Arc::downgrade(&vault.0)));
        Ok(vault)
    }

    /// Opens for a command: without the recorder, so that a server may run beside it. [`record`](Vault::record)
    /// then drops and counts.
    pub async fn open_for_command(
        settings: VaultSettings,
        providers: Arc<Providers>,
        system: Vec<SystemKey>,
    ) -> Result<Vault, OpenError> {
        let base = base(&settings).await?;
        Ok(assemble(settings, base, None, providers, system))
    }

    /// Opens for [`check`](Vault::check), changing nothing: no migration is applied, no key file made.
    pub async fn open_to_check(
        settings: VaultSettings,
        providers: Arc<Providers>,
        system: Vec<SystemKey>,
    ) -> Result<Checkable, OpenError> {
        let place = Place::parse(&settings.url)?;
        let keyring = KeyringFile::load(&settings.master_key_file)?;
        let mut connection = place.connect().await?;
        let state = schema::read(&mut connection, &place).await?;
        refuse_newer(state, &place)?;
        if state != Schema::Empty {
            verify(connection.link(), keyring.as_ref(), &settings.master_key_file).await?;
        }
        close(connection, &place).await?;
        let Some(keyring) = keyring.filter(|_| state != Schema::Empty) else {
            return Ok(Checkable::Nothing);
        };
        match state.pending() {
            0 => {}
            pending if settings.migrate => return Ok(Checkable::Pending(pending)),
            pending => {
                return Err(OpenError::MigrationsPending {
                    database: place.name(),
                    pending,
                });
            }
        }
        let db = Db::open(&place, settings.max_connections);
        let revision = first_revision(&db).await?;
        let base = Base {
            db: Arc::new(db),
            keyring,
            metrics: Arc::new(Metrics::new()),
            revision,
        };
        Ok(Checkable::Vault(assemble(
            settings, base, None, providers, system,
        )))
    }

    /// Applies the migrations that are missing; returns how many.
    pub async fn migrate(url: &str) -> Result<usize, OpenError> {
        let place = Place::parse(url)?;
        let _lock = prepare(&place).await?;
        let mut connection = place.connect().await?;
        let before = schema::read(&mut connection, &place).await?;
        refuse_newer(before, &place)?;
        schema::migrate(&mut connection, &place).await?;
        close(connection, &place).await?;
        Ok(before.pending())
    }
}

/// What stands once the database and the key file are known to belong together.
struct Base {
    db: Arc<Db>,
    keyring: KeyringFile,
    metrics: Arc<Metrics>,
    revision: i64,
}

async fn base(settings: &VaultSettings) -> Result<Base, OpenError> {
    let place = Place::parse(&settings.url)?;
    // A damaged file is refused before the database is even made.
    KeyringFile::load(&settings.master_key_file)?;
    bring_up_to_date(settings, &place).await?;
    let db = Db::open(&place, settings.max_connections);
    let keyring = settle(settings, &db).await?;
    let revision = first_revision(&db).await?;
    let metrics = Arc::new(Metrics::new());
    metrics.database_up.set(1);
    Ok(Base {
        db: Arc::new(db),
        keyring,
        metrics,
        revision,
    })
}

fn assemble(
    settings: VaultSettings,
    base: Base,
    recorder: Option<Recorder>,
    providers: Arc<Providers>,
    system: Vec<SystemKey>,
) -> Vault {
    let Base {
        db,
        keyring,
        metrics,
        revision,
    } = base;
    let generations = Arc::new(Generations::new());
    let (clock, runtime) = (settings.clock, Handle::current());
    let around = Around {
        generations: generations.clone(),
        clock: clock.clone(),
        runtime: runtime.clone(),
    };
    let used_tokens = recorder.as_ref().map(Recorder::used_tokens).unwrap_or_default();
    Vault(Arc::new(Inner {
        tokens: Arc::new(Cache::new(TOKENS, metrics.token_cache.clone(), around.clone())),
        credentials: Arc::new(Cache::new(
            CREDENTIALS,
            metrics.credential_cache.clone(),
            around.clone(),
        )),
        selections: Arc::new(Cache::new(
            SELECTIONS,
            metrics.selection_cache.clone(),
            around.clone(),
        )),
        db,
        keyring,
        providers,
        chance: SystemChance,
        metrics,
        generations,
        revisions: Revisions::starting_at(revision),
        system: parking_lot::RwLock::new(system::opened(system, 0)),
        noting: Mutex::default(),
        used_tokens,
        recorder,
        clock,
        runtime,
    }))
}

/// Verifies the key file against what is there, then applies missing migrations or refuses.
async fn bring_up_to_date(settings: &VaultSettings, place: &Place) -> Result<(), OpenError> {
    let _lock = prepare(place).await?;
    let mut connection = place.connect().await?;
    let state = schema::read(&mut connection, place).await?;
    refuse_newer(state, place)?;
    if state != Schema::Empty {
        verify_patiently(&mut connection, &settings.master_key_file).await?;
    }
    if state.pending() > 0 && !settings.migrate {
        return Err(OpenError::MigrationsPending {
            database: place.name(),
            pending: state.pending(),
        });
    }
    if state.pending() > 0 {
        schema::migrate(&mut connection, place).await?;
    }
    close(connection, place).await
}

async fn prepare(place: &Place) -> Result<Option<File>, OpenError> {
    match place.file() {
        Some(file) => schema::prepare_file(file).await.map(Some),
        None => Ok(None),
    }
}

async fn close(connection: Single, place: &Place) -> Result<(), OpenError> {
    let closed = connection.close().await;
    closed.map_err(|cause| OpenError::Database {
        database: place.name(),
        cause,
    })
}

fn refuse_newer(state: Schema, place: &Place) -> Result<(), OpenError> {
    match state {
        Schema::Newer(version) => Err(OpenError::NewerDatabase {
            database: place.name(),
            version,
        }),
        _ => Ok(()),
    }
}

async fn first_revision(db: &Db) -> Result<i64, VaultError> {
    const DOING: &str = "reading the revision";
    within(DOING, async {
        let mut reader = db.read(DOING).await?;
        revision::read(reader.link()).await.during(DOING)
    })
    .await
}

/// Ends with the vault.
async fn look_for_changes(vault: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(vault) = vault.upgrade() else { return };
        vault.credentials.tidy();
        let looked = vault.look_for_changes().await;
        let up = i64::from(looked.is_ok());
        if vault.metrics.database_up.get() == up {
            continue;
        }
        vault.metrics.database_up.set(up);
        match looked {
            Ok(()) => tracing::info!("the database answers again"),
            Err(error) => {
                tracing::error!(error = with_causes(&error), "the database does not answer");
            }
        }
    }
}
