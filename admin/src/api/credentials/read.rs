//! `GET /credentials/{provider}`: one stored key, by its last four characters.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::{Shown, stored};
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
    stored(&admin, &proven.actor, &owner, provider).await
}
