//! `POST /credentials/{provider}/validate`: asks the provider again now, and answers with the credential as
//! it then stands.
//!
//! A refused key is an answer (`status` is `invalid`), not a problem: the caller asked for just that. When the
//! provider gives no verdict the credential stays as it was and the problem says why.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::{Shown, none_stored};
use crate::Admin;
use crate::caller::Proven;
use crate::effective;
use crate::params::Params;
use crate::problem::Problem;
use crate::validation;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Shown>, Problem> {
    let provider = admin.provider(&provider)?;
    let owner = proven.changes(&mut params)?;
    params.finish()?;
    let credential = admin.vault.credential(&owner, &provider.id).await?.ok_or_else(|| none_stored(provider))?;
    effective::bound_here(provider, &credential)?;
    let row = validation::again(&admin, &proven.actor, provider, &credential).await?;
    // Replaced or deleted while the provider was asked: the verdict is about a key that is gone.
    match row {
        Some(row) => Ok(Json(row.into())),
        None => {
            let row = admin.vault.read_credential(&proven.actor, &owner, &provider.id).await?;
            Ok(Json(row.ok_or_else(|| none_stored(provider))?.into()))
        }
    }
}
