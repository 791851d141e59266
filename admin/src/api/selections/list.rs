//! `GET /selections`: what is selected for each operation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use policies::vocabulary::Operation;
use policies::vocabulary::Selection;
use serde::Serialize;

use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

/// Alone a selection is named by its path; in a list it names its operation.
#[derive(Serialize)]
pub struct Listed {
    operation: Operation,
    #[serde(flatten)]
    selection: Selection,
}

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<Listed>>, Problem> {
    let owner = proven.reads(&mut params)?;
    params.finish()?;
    let rows = admin.vault.list_selections(&proven.actor, &owner).await?;
    let listed = rows
        .into_iter()
        .map(|(operation, selection)| Listed { operation, selection });
    Ok(Json(Listing::whole(listed.collect())))
}
