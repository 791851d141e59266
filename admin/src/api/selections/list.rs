//! `GET /selections`: what is selected for each operation.

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
    let rows = admin.vault.list_selections(&proven.actor, &owner).await?;
    let shown = rows
        .into_iter()
        .map(|(operation, selection)| Shown { operation, selection });
    Ok(Json(Listing::whole(shown.collect())))
}
