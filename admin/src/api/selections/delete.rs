//! `DELETE /selections/{operation}`: nothing is selected any more.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;

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
) -> Result<StatusCode, Problem> {
    let operation = operation(&named)?;
    let owner = proven.changes(&mut params)?;
    params.finish()?;
    match admin
        .vault
        .delete_selection(&proven.actor, &owner, operation)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(none_selected(operation)),
    }
}
