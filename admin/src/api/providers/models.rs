//! `GET /providers/{provider}/models`: the models that the caller's effective credential may use.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use policies::descriptor::Model;

use crate::Admin;
use crate::api::{Listing, selections};
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;
use crate::{effective, lists};

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<Model>>, Problem> {
    let provider = admin.provider(&provider)?;
    let operation = params.word("operation", selections::parse)?;
    params.finish()?;
    let credential = effective::credential(&admin, &proven.caller, provider).await?;
    let models = lists::models(&admin, &proven.actor, provider, &credential).await?;
    let wanted = |model: &&Model| operation.is_none_or(|operation| model.operations.contains(&operation));
    Ok(Json(Listing::whole(models.iter().filter(wanted).cloned().collect())))
}
