//! What the caller has selected: their own choice, else that of the first of their teams that has one.

use std::sync::Arc;

use policies::rules::payers;
use policies::vocabulary::{Caller, Code, Operation, Owner, Refusal, Selection};
use policies::with_causes;
use tokio::runtime::Handle;
use vault::Vault;

pub async fn selection_for(
    caller: &Caller,
    operation: Operation,
    vault: &Vault,
    app: &Handle,
) -> Result<Option<Arc<Selection>>, Refusal> {
    for owner in payers(caller) {
        if let Some(selection) = selection_of(owner, operation, vault, app).await? {
            return Ok(Some(selection));
        }
    }
    Ok(None)
}

/// From memory; else by a hop to the runtime that owns the database's connections.
async fn selection_of(
    owner: Owner,
    operation: Operation,
    vault: &Vault,
    app: &Handle,
) -> Result<Option<Arc<Selection>>, Refusal> {
    if let Some(known) = vault.cached_selection(&owner, operation) {
        return Ok(known);
    }
    let vault = vault.clone();
    let loaded = app
        .spawn(async move { vault.selection(&owner, operation).await })
        .await;
    let cause = match loaded {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => with_causes(&error),
        Err(stopped) => stopped.to_string(),
    };
    Err(Refusal::new(
        Code::Overloaded,
        "the selection cannot be looked up at the moment",
    )
    .because(cause)
    .retry_after(2))
}
