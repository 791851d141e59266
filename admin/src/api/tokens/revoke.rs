//! `DELETE /tokens/{id}`: the token is refused on every node from the next request on.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;
use policies::vocabulary::{Code, TokenId};

use crate::Admin;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    proven: Proven,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let unknown = || Problem::new(Code::NotFound, "you have no token with that id");
    let id: TokenId = id.parse().map_err(|_| unknown())?;
    match admin
        .vault
        .revoke_token(&proven.actor, id, Some(&proven.caller.user))
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown()),
    }
}
