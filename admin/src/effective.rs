//! The credential that would pay for a caller's request, by the same rule as in live traffic.

use std::sync::Arc;

use policies::descriptor::Provider;
use policies::rules::payers;
use policies::vocabulary::{Caller, Code, CredentialStatus};
use vault::Credential;

use crate::Admin;
use crate::problem::Problem;

pub async fn credential(
    admin: &Admin,
    caller: &Caller,
    provider: &Provider,
) -> Result<Arc<Credential>, Problem> {
    let credential = first(admin, caller, provider).await?.ok_or_else(|| {
        let detail = format!(
            "no key for {} is stored, neither yours nor your team's nor the system's",
            provider.name
        );
        Problem::new(Code::CredentialMissing, detail).at_provider(&provider.id)
    })?;
    bound_here(provider, &credential)?;
    if credential.status == CredentialStatus::Invalid {
        let detail = format!("{} has refused the stored key; store another", provider.name);
        return Err(Problem::new(Code::CredentialInvalid, detail).at_provider(&provider.id));
    }
    Ok(credential)
}

async fn first(
    admin: &Admin,
    caller: &Caller,
    provider: &Provider,
) -> Result<Option<Arc<Credential>>, Problem> {
    for owner in payers(caller) {
        if let Some(credential) = admin.vault.credential(&owner, &provider.id).await? {
            return Ok(Some(credential));
        }
    }
    Ok(admin.vault.system_credential(&provider.id))
}

/// A key goes only to the hosts it was proven with. When the configuration has since named others, it is for
/// its owner to say that it may go there too.
pub fn bound_here(provider: &Provider, credential: &Credential) -> Result<(), Problem> {
    if !credential.bound_elsewhere {
        return Ok(());
    }
    let detail = format!(
        "the hosts of {} have changed since this key was stored; store it again",
        provider.name
    );
    Err(Problem::new(Code::CredentialInvalid, detail).at_provider(&provider.id))
}
