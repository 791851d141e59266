//! What an open connection stands on: the token that let it in, and the credential that pays.
//!
//! Both were looked up once, before the upgrade. They are looked up again when anything in the vault has changed.

use chrono::Utc;
use policies::socket::frames::CloseFrame;
use policies::vocabulary::{Code, Owner, Refusal};

use super::close_frame_of;
use crate::proxy::Gateway;
use crate::stages::authorise::{Grant, credential};

/// The vault's mark as of the last look; `None` before the first, for much may change during a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(Option<u64>);

/// What a look has found.
pub struct Looked {
    pub mark: Mark,
    /// Why the connection may not go on, if it may not.
    pub lost: Option<CloseFrame>,
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
        Ok(lost) => Looked { mark, lost },
        Err(Unsettled) => Looked {
            mark: last,
            lost: None,
        },
    }
}

/// The code that asks the other side to connect again (RFC 6455's registry).
const RESTART: u16 = 1012;

/// The database could not be asked.
struct Unsettled;

/// A JWT cannot be revoked, and a token that expires does not end what it began.
async fn token_is_lost(gateway: &Gateway, grant: &Grant) -> Result<Option<CloseFrame>, Unsettled> {
    let caller = grant.caller();
    if caller.token_id.is_none() || caller.expires_at.is_some_and(|end| end <= Utc::now()) {
        return Ok(None);
    }
    // A JWT beside it has not let anybody in, and its issuer is not to be asked about this.
    let presented = grant.inbound().presented.iter();
    let ours: Vec<_> = presented
        .filter(|token| vault::token::parse(token.expose()).is_some())
        .cloned()
        .collect();
    match gateway.callers.authenticate(&ours).await {
        Ok(now) if now.token_id == caller.token_id => Ok(None),
        Err(refusal) if refusal.code != Code::Unauthenticated => Err(Unsettled),
        _ => {
            let refusal = Refusal::new(Code::Unauthenticated, "the access token was revoked");
            Ok(Some(close_frame_of(&refusal)))
        }
    }
}

async fn credential_is_lost(gateway: &Gateway, grant: &Grant) -> Result<Option<CloseFrame>, Unsettled> {
    let (paying, provider) = (grant.credential(), grant.provider());
    let found = match paying.owner {
        Owner::System => Ok(gateway.vault.system_credential(&provider.id)),
        _ => credential(paying.owner.clone(), &provider.id, &gateway.vault, &gateway.app).await,
    };
    let name = &provider.name;
    let now = match found {
        Ok(now) => now.filter(|now| now.id == paying.id),
        Err(refusal) if refusal.code == Code::Overloaded => return Err(Unsettled),
        Err(refusal) => return Ok(Some(close_frame_of(&refusal))),
    };
    let Some(now) = now else {
        let message = format!("the key for {name} was deleted");
        return Ok(Some(close_frame_of(&Refusal::new(
            Code::CredentialMissing,
            message,
        ))));
    };
    // All system-level keys get new versions when the configuration is read again.
    let is_same = match paying.owner {
        Owner::System => now.secret.expose() == paying.secret.expose(),
        _ => now.version == paying.version,
    };
    let closes = !is_same && gateway.limits.close_on_revoke == Some(true);
    Ok(closes.then(|| {
        CloseFrame::new(
            RESTART,
            &format!("the key for {name} was replaced; connect again"),
        )
    }))
}
