//! What the caller has selected: their own choice, else that of the first of their teams that has one.

use std::sync::Arc;

use policies::vocabulary::{Caller, Code, Operation, Refusal, Selection};
use policies::with_causes;
use tokio::runtime::Handle;
use vault::Vault;

/// From memory; else by a hop to the runtime that owns the database's connections.
pub async fn selection_for(
    caller: &Arc<Caller>,
    operation: Operation,
    vault: &Vault,
    app: &Handle,
) -> Result<Option<Arc<Selection>>, Refusal> {
    if let Some(known) = vault.cached_selection_for(caller, operation) {
        return Ok(known);
    }
    let (vault, caller) = (vault.clone(), caller.clone());
    let loaded = app.spawn(async move { vault.selection_for(&caller, operation).await });
    let cause = match loaded.await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => with_causes(&error),
        Err(stopped) => stopped.to_string(),
    };
    let message = "the selection cannot be looked up at the moment";
    Err(Refusal::new(Code::Overloaded, message)
        .because(cause)
        .retry_after(2))
}
