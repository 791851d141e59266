//! The credential that would pay for a caller's request, or the problem that there is none to be used.

use std::sync::Arc;

use catalogue::Unusable;
use policies::descriptor::Provider;
use policies::vocabulary::{Caller, Code};
use vault::Credential;

use crate::Admin;
use crate::problem::Problem;

pub async fn credential(
    admin: &Admin,
    caller: &Caller,
    provider: &Provider,
) -> Result<Arc<Credential>, Problem> {
    let found = admin.catalogue.credential(caller, provider).await;
    found.map_err(|unusable| match unusable {
        Unusable::Missing => missing(provider),
        Unusable::BoundElsewhere => elsewhere(provider),
        Unusable::Refused => refused(provider),
        Unusable::Vault(error) => error.into(),
    })
}

/// A key goes only to the hosts it was proven with. When the configuration has since named others, it is for
/// its owner to say that it may go there too.
pub fn bound_here(provider: &Provider, credential: &Credential) -> Result<(), Problem> {
    if credential.bound_elsewhere {
        Err(elsewhere(provider))
    } else {
        Ok(())
    }
}

fn missing(provider: &Provider) -> Problem {
    let detail = format!(
        "no key for {} is stored, neither yours nor your team's nor the system's",
        provider.name
    );
    Problem::new(Code::CredentialMissing, detail).at_provider(&provider.id)
}

fn elsewhere(provider: &Provider) -> Problem {
    let detail = format!(
        "the hosts of {} have changed since this key was stored; store it again",
        provider.name
    );
    Problem::new(Code::CredentialInvalid, detail).at_provider(&provider.id)
}

fn refused(provider: &Provider) -> Problem {
    let detail = format!("{} has refused the stored key; store another", provider.name);
    Problem::new(Code::CredentialInvalid, detail).at_provider(&provider.id)
}
