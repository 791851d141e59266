//! `GET /selections/{operation}`: what is selected for one operation.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use policies::vocabulary::Selection;

use super::{none_selected, operation};
use crate::Admin;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(named): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Selection>, Problem> {
    let operation = operation(&named)?;
    let owner = proven.reads(&mut params)?;
    params.finish()?;
    let selection = admin
        .vault
        .read_selection(&proven.actor, &owner, operation)
        .await?;
    let selection = selection.ok_or_else(|| none_selected(operation))?;
    Ok(Json(selection))
}
