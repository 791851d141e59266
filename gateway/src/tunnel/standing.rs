//! What an open connection stands on: the token that let it in, and the credential that pays.
//!
//! Both were looked up once, before the upgrade. They are looked up again when anything in the vault has changed.

use chrono::Utc;
use policies::socket::frames::Closing;
use policies::vocabulary::{Code, Refusal};

use super::closing_of;
use crate::proxy::Gateway;
use crate::stages::authorise::{Grant, credential};

pub struct Standing {
    /// The vault's mark as of the last look; `None` before the first, for much may change during a handshake.
    mark: Option<u64>,
}

impl Standing {
    pub fn new() -> Self {
        Self { mark: None }
    }

    /// Why the connection may not go on, if it may not. Doubt lets it go on until it is settled.
    pub async fn lost(&mut self, gateway: &Gateway, grant: &Grant) -> Option<Closing> {
        if gateway.limits.close_on_revoke == Some(false) {
            return None;
        }
        let mark = gateway.vault.change_mark();
        if self.mark == Some(mark) {
            return None;
        }
        let looked = match token_is_lost(gateway, grant).await {
            Ok(None) => credential_is_lost(gateway, grant).await,
            looked => looked,
        };
        match looked {
            Ok(lost) => {
                self.mark = Some(mark);
                lost.map(|refusal| closing_of(&refusal))
            }
            Err(Unsettled) => None,
        }
    }
}

/// The database could not be asked.
struct Unsettled;

/// A JWT cannot be revoked, and a token that expires does not end what it began.
async fn token_is_lost(gateway: &Gateway, grant: &Grant) -> Result<Option<Refusal>, Unsettled> {
    let caller = grant.caller();
    if caller.token_id.is_none() || caller.expires_at.is_some_and(|end| end <= Utc::now()) {
        return Ok(None);
    }
    match gateway.callers.authenticate(&grant.inbound().presented).await {
        Ok(now) if now.token_id == caller.token_id => Ok(None),
        Err(refusal) if refusal.code != Code::Unauthenticated => Err(Unsettled),
        _ => Ok(Some(Refusal::new(
            Code::Unauthenticated,
            "the access token was revoked",
        ))),
    }
}

/// System-level keys change with a restart alone.
async fn credential_is_lost(gateway: &Gateway, grant: &Grant) -> Result<Option<Refusal>, Unsettled> {
    let (paying, provider) = (grant.credential(), grant.provider());
    if paying.id.is_none() {
        return Ok(None);
    }
    let owner = paying.owner.clone();
    let now = credential(owner, &provider.id, &gateway.vault, &gateway.app)
        .await
        .map_err(|_| Unsettled)?;
    let name = &provider.name;
    Ok(match now {
        None => Some(Refusal::new(
            Code::CredentialMissing,
            format!("the key for {name} was deleted"),
        )),
        Some(now) if now.id == paying.id && now.version == paying.version => None,
        Some(_) if gateway.limits.close_on_revoke == Some(true) => Some(Refusal::new(
            Code::CredentialMissing,
            format!("the key for {name} was replaced; connect again"),
        )),
        Some(_) => None,
    })
}
