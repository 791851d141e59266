//! Credentials: stored, listed, deleted, and opened for the calls they pay for.

use std::sync::Arc;

use futures::FutureExt;
use policies::vocabulary::{
    Actor, AuditAction, AuditEvent, CredentialId, CredentialStatus, Owner, ProviderId,
};
use uuid::Uuid;

use crate::cache::CacheKey;
use crate::credential::{Credential, CredentialRow, NewCredential};
use crate::envelope::{Binding, seal, unseal};
use crate::error::{During, VaultError};
use crate::store::credentials::{self, Stored};
use crate::store::db::within;
use crate::vault::{CredentialKey, Inner, Vault, Voids};

/// How often storing follows rotations that overtake it.
const RETRIES: u32 = 5;

impl Vault {
    /// From memory only. `Some(None)`: known to be absent.
    pub fn cached_credential(&self, owner: &Owner, provider: &ProviderId) -> Option<Option<Arc<Credential>>> {
        self.0
            .credentials
            .get(&CredentialKey(owner.clone(), provider.clone()))
    }

    pub async fn credential(
        &self,
        owner: &Owner,
        provider: &ProviderId,
    ) -> Result<Option<Arc<Credential>>, VaultError> {
        const DOING: &str = "opening a credential";
        let key = CredentialKey(owner.clone(), provider.clone());
        let (vault, CredentialKey(owner, provider)) = (self.0.clone(), key.clone());
        let load = move || within(DOING, async move { vault.load(&owner, &provider).await }).boxed();
        self.0.credentials.get_or_load(&key, load).await
    }

    /// Stores, or puts in the place of what was there; true when nothing was.
    pub async fn put_credential(
        &self,
        by: &Actor,
        new: NewCredential,
    ) -> Result<(CredentialRow, bool), VaultError> {
        let _voids = self.voids_credential(&new.owner, &new.provider);
        let mut stored = self.try_put(by, &new).await;
        for _ in 0..RETRIES {
            match &stored {
                // The master key was rotated away under us by another process: the file names the current one.
                Err(VaultError::Database { cause, .. }) if refers_to_nothing(cause) => {
                    self.0.adopt_key_file().await?;
                    stored = self.try_put(by, &new).await;
                }
                _ => break,
            }
        }
        self.0.credentials.forget(&CredentialKey(new.owner, new.provider));
        stored
    }

    async fn try_put(&self, by: &Actor, new: &NewCredential) -> Result<(CredentialRow, bool), VaultError> {
        const DOING: &str = "storing a credential";
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let version = credentials::raise_mark(tx.link(), &new.owner, &new.provider)
                .await
                .during(DOING)?;
            let before = credentials::identity(tx.link(), &new.owner, &new.provider)
                .await
                .during(DOING)?;
            let stored = self.0.sealed(new, version, before)?;
            credentials::put(tx.link(), &stored).await.during(DOING)?;
            let created = before.is_none();
            let action = if created {
                AuditAction::CredentialCreate
            } else {
                AuditAction::CredentialUpdate
            };
            let event = AuditEvent {
                detail: stored.row.status_reason.map(|reason| reason.to_string()),
                ..self.credential_event(by, action, &new.owner, Some(&new.provider))
            };
            self.0.commit_change(tx, &event, DOING).await?;
            Ok((stored.row, created))
        })
        .await
    }

    pub async fn read_credential(
        &self,
        by: &Actor,
        owner: &Owner,
        provider: &ProviderId,
    ) -> Result<Option<CredentialRow>, VaultError> {
        const DOING: &str = "reading a credential";
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let stored = credentials::find(tx.link(), owner, provider).await?;
            let event = self.credential_event(by, AuditAction::CredentialRead, owner, Some(provider));
            self.0.commit_read(tx, &event, DOING).await?;
            Ok(stored.map(|stored| stored.row))
        })
        .await
    }

    pub async fn list_credentials(
        &self,
        by: &Actor,
        owner: &Owner,
    ) -> Result<Vec<CredentialRow>, VaultError> {
        const DOING: &str = "listing credentials";
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let rows = credentials::list(tx.link(), owner).await?;
            let event = self.credential_event(by, AuditAction::CredentialRead, owner, None);
            self.0.commit_read(tx, &event, DOING).await?;
            Ok(rows)
        })
        .await
    }

    /// False when there was none.
    pub async fn delete_credential(
        &self,
        by: &Actor,
        owner: &Owner,
        provider: &ProviderId,
    ) -> Result<bool, VaultError> {
        const DOING: &str = "deleting a credential";
        let _voids = self.voids_credential(owner, provider);
        let deleted = within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            // So that the deleted row does not open when it is put back. First, as in storing: whoever takes
            // these locks in another order could wait for the other for ever.
            credentials::raise_mark(tx.link(), owner, provider)
                .await
                .during(DOING)?;
            let found = credentials::identity(tx.link(), owner, provider)
                .await
                .during(DOING)?;
            let Some((id, _)) = found else { return Ok(false) };
            credentials::delete(tx.link(), id).await.during(DOING)?;
            let event = self.credential_event(by, AuditAction::CredentialDelete, owner, Some(provider));
            self.0.commit_change(tx, &event, DOING).await?;
            Ok(true)
        })
        .await?;
        self.0
            .credentials
            .forget(&CredentialKey(owner.clone(), provider.clone()));
        Ok(deleted)
    }

    pub(crate) fn credential_event(
        &self,
        by: &Actor,
        action: AuditAction,
        owner: &Owner,
        provider: Option<&ProviderId>,
    ) -> AuditEvent {
        AuditEvent {
            owner: Some(owner.to_string()),
            provider: provider.cloned(),
            ..self.0.event(by, action)
        }
    }

    fn voids_credential(&self, owner: &Owner, provider: &ProviderId) -> Voids {
        let mut voids = self.0.voids();
        voids.add(CredentialKey(owner.clone(), provider.clone()).shard());
        voids
    }
}

impl Inner {
    fn sealed(
        &self,
        new: &NewCredential,
        version: i64,
        before: Option<(CredentialId, chrono::DateTime<chrono::Utc>)>,
    ) -> Result<Stored, VaultError> {
        let now = self.now();
        let (id, created_at) = before.unwrap_or_else(|| (Uuid::now_v7(), now));
        let NewCredential {
            owner,
            provider,
            secret,
            settings,
            hosts,
            status_reason,
            status_detail,
        } = new;
        let binding = Binding {
            owner,
            provider,
            id,
            version,
            hosts,
            settings,
        };
        let ring = self.keyring.ring();
        let kek = ring.current();
        let sealed = seal(binding, secret, &kek.id, &kek.cipher, &self.chance).map_err(|error| {
            VaultError::Sealed {
                id: id.to_string(),
                why: error.to_string(),
            }
        })?;
        let row = CredentialRow {
            id,
            owner: owner.clone(),
            provider: provider.clone(),
            version,
            masked_key: secret.masked(),
            settings: settings.clone(),
            status: CredentialStatus::Valid,
            status_reason: *status_reason,
            status_detail: status_detail.clone(),
            last_validated_at: now,
            created_at,
            updated_at: now,
        };
        Ok(Stored {
            row,
            hosts: hosts.clone(),
            sealed,
            mark: Some(version),
        })
    }

    async fn load(&self, owner: &Owner, provider: &ProviderId) -> Result<Option<Credential>, VaultError> {
        let mut tried = None;
        loop {
            let mut reader = self.db.read("looking up a credential").await?;
            let Some(stored) = credentials::find(reader.link(), owner, provider).await? else {
                return Ok(None);
            };
            drop(reader);
            let kek_id = stored.sealed.wrapped.kek_id.clone();
            match self.open(stored) {
                // Rewrapped, and its old master key retired, between reading the row and opening it.
                Err(VaultError::Sealed { .. }) if tried.as_ref() != Some(&kek_id) => tried = Some(kek_id),
                opened => return opened.map(Some),
            }
        }
    }

    /// Opens a row, or says why it does not open.
    pub fn open(&self, stored: Stored) -> Result<Credential, VaultError> {
        let Stored { row, .. } = &stored;
        let closed = |why: String| VaultError::Sealed {
            id: row.id.to_string(),
            why,
        };
        if stored.mark != Some(row.version) {
            return Err(closed(
                "an older or deleted row was put back in its place".to_owned(),
            ));
        }
        let kek_id = &stored.sealed.wrapped.kek_id;
        let mut ring = self.keyring.ring();
        if ring.get(kek_id).is_none() {
            // Another process may have rotated since the file was read.
            ring = self.keyring.reload()?;
        }
        let kek = ring
            .get(kek_id)
            .ok_or_else(|| closed(format!("master key {kek_id} is not in the key file")))?;
        let secret = unseal(stored.binding(), &stored.sealed, &kek.cipher)
            .map_err(|error| closed(error.to_string()))?;
        let provider = self.providers.get(row.provider.as_str());
        let resolved = provider.and_then(|provider| provider.hosts(&row.settings).ok());
        Ok(Credential {
            id: Some(row.id),
            bound_elsewhere: resolved.as_ref() != Some(&stored.hosts),
            owner: stored.row.owner,
            provider: stored.row.provider,
            version: stored.row.version,
            status: stored.row.status,
            status_reason: stored.row.status_reason,
            settings: stored.row.settings,
            hosts: stored.hosts,
            secret: Arc::new(secret),
        })
    }
}

fn refers_to_nothing(cause: &sqlx::Error) -> bool {
    cause
        .as_database_error()
        .is_some_and(|error| error.is_foreign_key_violation())
}
