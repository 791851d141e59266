//! `Route` and the credentials that may pay → [`Grant`].
//!
//! Only this module makes a [`Grant`], and everything that sends a key demands one.

use std::sync::Arc;

use policies::descriptor::{Origin, Provider};
use policies::rules::{Inbound, Route, payers};
use policies::vocabulary::{Caller, Code, Operation, Owner, ProviderId, Refusal};
use policies::with_causes;
use tokio::runtime::Handle;
use vault::{Credential, Vault};

use super::{Seen, Stop};

/// Permission for one call: who, to what, on whose key, at which address.
pub struct Grant {
    caller: Arc<Caller>,
    inbound: Inbound,
    route: Route,
    credential: Arc<Credential>,
    origin: Arc<Origin>,
}

impl Grant {
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    pub fn inbound(&self) -> &Inbound {
        &self.inbound
    }

    pub fn route(&self) -> &Route {
        &self.route
    }

    pub fn provider(&self) -> &Arc<Provider> {
        &self.route.provider
    }

    pub fn operation(&self) -> Operation {
        self.route.endpoint().operation
    }

    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    pub fn seen(&self) -> Seen {
        Seen::inbound(&self.inbound)
            .by(&self.caller)
            .doing(self.operation())
    }
}

pub async fn authorise(
    caller: Arc<Caller>,
    inbound: Inbound,
    route: Route,
    vault: &Vault,
    app: &Handle,
) -> Result<Grant, Stop> {
    let seen = Seen::inbound(&inbound)
        .by(&caller)
        .doing(route.endpoint().operation);
    let chosen = match choose(&caller, &route.provider.id, vault, app).await {
        Ok(Some(credential)) => bound(&route, &credential).map(|origin| (credential, origin)),
        Ok(None) => Err(missing(&route.provider)),
        Err(refusal) => Err(refusal),
    };
    match chosen {
        Ok((credential, origin)) => Ok(Grant {
            caller,
            inbound,
            route,
            credential,
            origin,
        }),
        Err(refusal) => Err(seen.stop(refusal.provider(route.provider.id.clone()))),
    }
}

pub async fn choose(
    caller: &Caller,
    provider: &ProviderId,
    vault: &Vault,
    app: &Handle,
) -> Result<Option<Arc<Credential>>, Refusal> {
    for owner in payers(caller) {
        if let Some(credential) = credential(owner, provider, vault, app).await? {
            return Ok(Some(credential));
        }
    }
    Ok(vault.system_credential(provider))
}

/// From memory; else by a hop to the runtime that owns the database's connections.
pub async fn credential(
    owner: Owner,
    provider: &ProviderId,
    vault: &Vault,
    app: &Handle,
) -> Result<Option<Arc<Credential>>, Refusal> {
    if let Some(known) = vault.cached_credential(&owner, provider) {
        return Ok(known);
    }
    let (vault, provider) = (vault.clone(), provider.clone());
    let loaded = app
        .spawn(async move { vault.credential(&owner, &provider).await })
        .await;
    let cause = match loaded {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) if error.is_transient() => with_causes(&error),
        Ok(Err(error)) => {
            let error = with_causes(&error);
            tracing::error!(error, "a stored credential cannot be used");
            return Err(Refusal::new(
                Code::CredentialInvalid,
                "the stored key cannot be opened; store it again",
            )
            .because(error));
        }
        Err(stopped) => stopped.to_string(),
    };
    Err(Refusal::new(
        Code::Overloaded,
        "the stored key cannot be looked up at the moment",
    )
    .because(cause)
    .retry_after(2))
}

/// The host that the endpoint is served from, as the credential's seal has it. A descriptor or an
/// override that has changed since must not redirect a key.
fn bound(route: &Route, credential: &Credential) -> Result<Arc<Origin>, Refusal> {
    match credential.hosts.get(&route.endpoint().host) {
        Some(origin) if !credential.bound_elsewhere => Ok(origin.clone()),
        _ => Err(Refusal::new(
            Code::CredentialInvalid,
            format!(
                "the addresses of {} have changed since this key was stored; store it again",
                route.provider.name
            ),
        )),
    }
}

fn missing(provider: &Provider) -> Refusal {
    Refusal::new(
        Code::CredentialMissing,
        format!("no key for {} is stored; add yours in the console", provider.name),
    )
}
