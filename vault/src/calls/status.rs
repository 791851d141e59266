//! What is known of a credential's key: valid or not, and why.

use policies::vocabulary::{Actor, AuditAction, AuditEvent, Code, CredentialId, CredentialStatus};
use policies::with_causes;

use crate::cache::CacheKey;
use crate::credential::{Credential, CredentialRow};
use crate::error::{During, VaultError};
use crate::store::credentials;
use crate::store::db::within;
use crate::vault::{CredentialKey, Vault};

impl Vault {
    /// `None`, and nothing done, when the credential is gone or was replaced since `version`: a late answer
    /// about the old key says nothing about the new one. A validation is on record also when nothing changed.
    #[expect(
        clippy::too_many_arguments,
        reason = "a status is these parts, and each caller has them apart"
    )]
    pub async fn set_credential_status(
        &self,
        by: &Actor,
        id: CredentialId,
        version: i64,
        status: CredentialStatus,
        reason: Option<Code>,
        detail: Option<String>,
        action: AuditAction,
    ) -> Result<Option<CredentialRow>, VaultError> {
        const DOING: &str = "storing a credential's status";
        let mut voids = self.0.voids();
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let found = credentials::find_by_id(tx.link(), id).await?;
            let Some(mut row) = found
                .map(|stored| stored.row)
                .filter(|row| row.version == version)
            else {
                return Ok(None);
            };
            let validated = action == AuditAction::CredentialValidate;
            if !validated && row.status == status && row.status_reason == reason {
                return Ok(Some(row));
            }
            (row.status, row.status_reason, row.status_detail) = (status, reason, detail);
            row.updated_at = self.0.now();
            if validated {
                row.last_validated_at = row.updated_at;
            }
            if !credentials::set_status(tx.link(), &row).await.during(DOING)? {
                return Ok(None);
            }
            voids.add(CredentialKey(row.owner.clone(), row.provider.clone()).shard());
            let event = AuditEvent {
                detail: Some(status_text(status, reason)),
                ..self.credential_event(by, action, &row.owner, Some(&row.provider))
            };
            self.0.commit_change(tx, &event, DOING).await?;
            Ok(Some(row))
        })
        .await
    }

    /// What a provider's answer in live traffic says about a credential. Returns at once; the change follows,
    /// once however many calls report it.
    pub fn note_status(
        &self,
        by: Actor,
        credential: &Credential,
        status: CredentialStatus,
        reason: Option<Code>,
        detail: Option<String>,
    ) {
        if credential.status == status && credential.status_reason == reason {
            return;
        }
        let Some(id) = credential.id else {
            return self.note_system_status(&by, credential, status, reason);
        };
        let version = credential.version;
        if !self.0.noting.lock().insert((id, version)) {
            return;
        }
        let vault = self.clone();
        self.0.runtime.spawn(async move {
            let action = AuditAction::CredentialStatus;
            let set = vault
                .set_credential_status(&by, id, version, status, reason, detail, action)
                .await;
            vault.0.noting.lock().remove(&(id, version));
            if let Err(error) = set {
                // The next call on this credential reports it again.
                tracing::warn!(credential = %id, error = with_causes(&error), "a status was not stored");
            }
        });
    }
}

pub(crate) fn status_text(status: CredentialStatus, reason: Option<Code>) -> String {
    match reason {
        Some(reason) => format!("{status}: {reason}"),
        None => status.to_string(),
    }
}
