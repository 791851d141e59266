//! `Inbound` → `Route`: which listed endpoint this is, and whether the caller's scopes admit it.

use std::sync::Arc;

use http::Method;
use policies::rules::{self, Inbound, Route};
use policies::vocabulary::Caller;

use super::{Seen, Stop};

pub fn route(caller: &Arc<Caller>, inbound: &Inbound, method: &Method) -> Result<Route, Stop> {
    let seen = || Seen::inbound(inbound).by(caller);
    let route = rules::route(inbound, method).map_err(|refusal| seen().stop(refusal))?;
    let operation = route.endpoint().operation;
    rules::allow(caller, operation).map_err(|refusal| seen().doing(operation).stop(refusal))?;
    Ok(route)
}
