use policies::vocabulary::{CredentialId, Owner, ProviderId};

use crate::error::VaultError;
use crate::vault::Vault;

/// Something that is wrong with a stored credential.
#[derive(Clone, Debug)]
pub struct Finding {
    pub id: CredentialId,
    pub owner: Owner,
    pub provider: ProviderId,
    pub what: String,
}

impl Vault {
    /// Opens every credential and tells which do not, and why.
    pub async fn check(&self) -> Result<Vec<Finding>, VaultError> {
        todo!()
    }
}
