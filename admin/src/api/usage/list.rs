//! `GET /usage`: one record per attempt at a provider, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use policies::vocabulary::UsageEvent;

use super::filter;
use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<UsageEvent>>, Problem> {
    let page = params.page()?;
    let filter = filter(&proven, &mut params, page)?;
    params.finish()?;
    Ok(Json(Listing::page(admin.vault.read_usage(filter).await?)))
}
