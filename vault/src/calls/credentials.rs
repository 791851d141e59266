use std::sync::Arc;

use policies::vocabulary::{
    Actor, AuditAction, Code, CredentialId, CredentialStatus, Owner, ProviderId,
};

use crate::credential::{Credential, CredentialRow, NewCredential, SystemKey};
use crate::error::VaultError;
use crate::vault::Vault;

impl Vault {
    /// From memory only. `Some(None)`: known to be absent.
    pub fn cached_credential(&self, owner: &Owner, provider: &ProviderId) -> Option<Option<Arc<Credential>>> {
        todo!()
    }
    pub async fn credential(&self, owner: &Owner, provider: &ProviderId) -> Result<Option<Arc<Credential>>, VaultError> {
        todo!()
    }
    pub fn system_credential(&self, provider: &ProviderId) -> Option<Arc<Credential>> {
        todo!()
    }
    /// Puts other system-level keys in place of those the vault was opened with.
    pub fn replace_system(&self, keys: Vec<SystemKey>) {
        todo!()
    }
    /// Stores or replaces; true when there was none.
    pub async fn put_credential(&self, by: &Actor, new: NewCredential) -> Result<(CredentialRow, bool), VaultError> {
        todo!()
    }
    pub async fn read_credential(&self, by: &Actor, owner: &Owner, provider: &ProviderId) -> Result<Option<CredentialRow>, VaultError> {
        todo!()
    }
    pub async fn list_credentials(&self, by: &Actor, owner: &Owner) -> Result<Vec<CredentialRow>, VaultError> {
        todo!()
    }
    pub async fn delete_credential(&self, by: &Actor, owner: &Owner, provider: &ProviderId) -> Result<bool, VaultError> {
        todo!()
    }
    #[expect(clippy::too_many_arguments, reason = "a status is these parts, and each caller has them apart")]
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
        todo!()
    }
    pub fn note_status(
        &self,
        by: Actor,
        credential: &Credential,
        status: CredentialStatus,
        reason: Option<Code>,
        detail: Option<String>,
    ) {
        todo!()
    }
}
