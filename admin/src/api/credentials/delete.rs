//! `DELETE /credentials/{provider}`: the key is gone on every node when the answer arrives.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;

use super::none_stored;
use crate::Admin;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<StatusCode, Problem> {
    let provider = admin.provider(&provider)?;
    let owner = proven.changes(&mut params)?;
    params.finish()?;
    match admin.vault.delete_credential(&proven.actor, &owner, &provider.id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(none_stored(provider)),
    }
}
