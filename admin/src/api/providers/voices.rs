//! `GET /providers/{provider}/voices`: the voices that the caller's effective credential reaches.
//!
//! Pages are the provider's own: `cursor` is what it calls its next page, and there is no `limit`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use policies::descriptor::Voice;

use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::lists::{self, Search};
use crate::params::Params;
use crate::problem::Problem;
use crate::effective;

/// No provider's cursor or name of a voice is longer.
const TEXT_MAX: usize = 512;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<Voice>>, Problem> {
    let provider = admin.provider(&provider)?;
    let search = Search {
        q: text(&mut params, "q")?,
        language: text(&mut params, "language")?,
        cursor: text(&mut params, "cursor")?,
    };
    params.finish()?;
    let credential = effective::credential(&admin, &proven.caller, provider).await?;
    let page = lists::voices(&admin, &proven.actor, provider, &credential, search).await?;
    Ok(Json(Listing::page((*page).clone())))
}

fn text(params: &mut Params, name: &'static str) -> Result<Option<String>, Problem> {
    match params.take(name) {
        Some(text) if text.len() > TEXT_MAX || text.chars().any(char::is_control) => {
            Err(Problem::invalid(name, format!("`{name}` is at most {TEXT_MAX} bytes of printable text")))
        }
        text => Ok(text),
    }
}
