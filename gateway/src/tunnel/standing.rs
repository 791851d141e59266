//! What an open connection stands on: the token that let it in, and the credential that pays.
//!
//! Both were looked up once, before the upgrade. They are looked up again when anything in the vault has changed.

use chrono::Utc;
use policies::socket::frames::Closing;
use policies::vocabulary::{Code, Refusal};

use super::closing_of;
use crate::proxy::Gateway;
use crate::stages::authorise::{Grant, credential};

/// The vault's mark as of the last look; `None` before the first, for much may change during a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(Option<u64>);

/// What a look has found.
pub struct Looked {
    pub mark: Mark,
    /// Why the connection may not go on, if it may not.
    pub lost: Option<Closing>,
}

/// Whether anything has changed that a connection may stand on.
pub fn has_moved(gateway: &Gateway, last: Mark) -> bool {
    gateway.limits.close_on_revoke != Some(false) && Mark(Some(gateway.vault.change_mark())) != last
}

/// Looks again. What cannot be settled now leaves the mark as it was, so that the next look is for the same.
pub async fn look(gateway: &Gateway, grant: &Grant, last: Mark) -> Looked {
    let mark = Mark(Some(gateway.vault.change_mark()));
    let found = match token_is_lost(gateway, grant).await {
        Ok(None) => credential_is_lost(gateway, grant).await,
        found => found,
    };
    match found {
        Ok(lost) => Looked {
            mark,
            lost: lost.map(|refusal| closing_of(&refusal)),
        },
        Err(Unsettled) => Looked {
            mark: last,
            lost: None,
        },
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
