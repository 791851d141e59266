//! Presented tokens → `Caller`, from memory where it was proven lately.

use std::sync::Arc;

use callers::Callers;
use policies::rules::Inbound;
use policies::vocabulary::Caller;

use super::{Seen, Stop};

pub async fn authenticate(callers: &Callers, inbound: &Inbound) -> Result<Arc<Caller>, Stop> {
    let answer = match callers.cached(&inbound.presented) {
        Some(known) => known,
        None => callers.authenticate(&inbound.presented).await,
    };
    answer.map_err(|refusal| Seen::inbound(inbound).stop(refusal))
}
