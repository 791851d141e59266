//! `GET /tokens`: the caller's tokens, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Shown;
use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<Shown>>, Problem> {
    let page = params.page()?;
    params.finish()?;
    let rows = admin.vault.list_tokens(&proven.actor, &proven.caller.user, page).await?;
    Ok(Json(Listing::page(rows)))
}
