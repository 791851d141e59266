//! `GET /credentials/{provider}`: one stored key, by its last four characters.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::{Shown, none_stored};
use crate::Admin;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Shown>, Problem> {
    let provider = admin.provider(&provider)?;
    let owner = proven.reads(&mut params)?;
    params.finish()?;
    let row = admin
        .vault
        .read_credential(&proven.actor, &owner, &provider.id)
        .await?;
    Ok(Json(row.ok_or_else(|| none_stored(provider))?.into()))
}
