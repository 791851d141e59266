//! `GET /credentials`: every stored key of the caller, or of a team.

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
    let owner = proven.reads(&mut params)?;
    params.finish()?;
    let rows = admin.vault.list_credentials(&proven.actor, &owner).await?;
    Ok(Json(Listing::whole(rows.into_iter().map(Shown::from).collect())))
}
