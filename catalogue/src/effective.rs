//! The credential that would pay for a caller's request, by the same rule as in live traffic.

use std::sync::Arc;

use policies::descriptor::Provider;
use policies::rules::payers;
use policies::vocabulary::{Caller, CredentialStatus, Owner};
use vault::{Credential, VaultError};

use crate::Catalogue;

/// Why nothing can be asked of a provider for somebody.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("no key is stored")]
    Missing,
    #[error("the provider's hosts have changed since the key was stored")]
    BoundElsewhere,
    #[error("the provider has refused the stored key")]
    Refused,
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Catalogue {
    /// The caller's own, else a team's, else the system's.
    pub async fn credential(
        &self,
        caller: &Caller,
        provider: &Provider,
    ) -> Result<Arc<Credential>, Unusable> {
        self.credential_of(payers(caller), provider).await
    }

    /// That of the first owner who has one, else the system's.
    pub async fn credential_of(
        &self,
        owners: impl IntoIterator<Item = Owner>,
        provider: &Provider,
    ) -> Result<Arc<Credential>, Unusable> {
        let mut found = None;
        for owner in owners {
            found = self.0.vault.credential(&owner, &provider.id).await?;
            if found.is_some() {
                break;
            }
        }
        usable(found.or_else(|| self.0.vault.system_credential(&provider.id)))
    }
}

fn usable(found: Option<Arc<Credential>>) -> Result<Arc<Credential>, Unusable> {
    match found {
        None => Err(Unusable::Missing),
        Some(credential) if credential.bound_elsewhere => Err(Unusable::BoundElsewhere),
        Some(credential) if credential.status == CredentialStatus::Invalid => Err(Unusable::Refused),
        Some(credential) => Ok(credential),
    }
}
