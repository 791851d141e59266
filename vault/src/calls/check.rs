//! Whether every stored credential opens.

use policies::vocabulary::{CredentialId, Owner, ProviderId};
use policies::with_causes;
use uuid::Uuid;

use crate::error::VaultError;
use crate::store::credentials::{self, Holding};
use crate::store::db::within;
use crate::vault::{Inner, Vault};

const BATCH: i64 = 100;

/// Something that is wrong with a stored credential.
#[derive(Clone, Debug)]
pub struct Finding {
    pub id: CredentialId,
    pub owner: Owner,
    pub provider: ProviderId,
    pub what: String,
}

impl Finding {
    pub(crate) fn of(holding: Holding, what: String) -> Self {
        Self {
            id: holding.id,
            owner: holding.owner,
            provider: holding.provider,
            what,
        }
    }
}

impl Vault {
    /// Opens every credential and tells which do not open, and why, and which are bound to other hosts than
    /// the provider now has.
    pub async fn check(&self) -> Result<Vec<Finding>, VaultError> {
        const DOING: &str = "checking the credentials";
        let mut findings = Vec::new();
        let mut after = Uuid::nil();
        loop {
            let holdings = within(DOING, async {
                let mut reader = self.0.db.read(DOING).await?;
                credentials::after(reader.link(), after, BATCH).await
            })
            .await?;
            let Some(last) = holdings.last() else {
                return Ok(findings);
            };
            after = last.id;
            for holding in holdings {
                if let Some(what) = self.0.check_one(holding.id).await? {
                    findings.push(Finding::of(holding, what));
                }
            }
        }
    }
}

impl Inner {
    async fn check_one(&self, id: CredentialId) -> Result<Option<String>, VaultError> {
        const DOING: &str = "checking a credential";
        let found = within(DOING, async {
            let mut reader = self.db.read(DOING).await?;
            credentials::find_by_id(reader.link(), id).await
        });
        let opened = match found.await {
            Ok(None) => return Ok(None),
            Ok(Some(stored)) => self.open(stored),
            Err(error) => Err(error),
        };
        match opened {
            Ok(credential) if credential.bound_elsewhere => Ok(Some(
                "its provider's hosts are no longer those it was stored for; store the key again".to_owned(),
            )),
            Ok(_) => Ok(None),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => Ok(Some(with_causes(&error))),
        }
    }
}
