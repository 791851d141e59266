//! Presented tokens → `Caller`, from memory where it was proven lately.

use std::sync::Arc;

use callers::Callers;
use policies::vocabulary::{Caller, PresentedToken, Refusal};

pub async fn authenticate(callers: &Callers, presented: &[PresentedToken]) -> Result<Arc<Caller>, Refusal> {
    match callers.cached(presented) {
        Some(known) => known,
        None => callers.authenticate(presented).await,
    }
}
