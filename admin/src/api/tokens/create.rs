//! `POST /tokens`: a new token of the caller's, shown this once.
//!
//! It carries the roles and teams that the caller has now, and never a scope that the caller lacks: asked for
//! without scopes it gets the caller's, which may be "all that its user may do". What a sign-in later
//! takes from the user, an existing token keeps until it is revoked or expires.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use http::StatusCode;
use policies::vocabulary::{Caller, Code, Scope, Scopes};
use serde::{Deserialize, Serialize};
use vault::NewToken;

use super::Shown;
use crate::Admin;
use crate::caller::Proven;
use crate::params::{Given, Params};
use crate::problem::Problem;

const NAME_MAX: usize = 100;
/// Ten years; whoever wants longer leaves the time out.
const TTL_MAX: i64 = 10 * 366 * 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    #[serde(default)]
    name: String,
    ttl_seconds: Option<i64>,
    scopes: Option<Vec<Scope>>,
}

#[derive(Serialize)]
pub struct Created {
    #[serde(flatten)]
    row: Shown,
    token: String,
}

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    params: Params,
    Given(create): Given<Create>,
) -> Result<(StatusCode, Json<Created>), Problem> {
    params.finish()?;
    let caller = &proven.caller;
    let new = NewToken {
        user: caller.user.clone(),
        name: name(create.name)?,
        ttl: ttl(create.ttl_seconds)?,
        scopes: scopes(caller, create.scopes)?,
        roles: caller.roles.clone(),
        teams: caller.teams.clone(),
        admin_of: caller.admin_of.clone(),
    };
    let (row, token) = admin.vault.create_token(&proven.actor, new).await?;
    Ok((StatusCode::CREATED, Json(Created { row: row.into(), token: token.expose().to_owned() })))
}

fn name(given: String) -> Result<String, Problem> {
    let name = given.trim();
    if name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        let detail = format!("`name` is at most {NAME_MAX} printable characters");
        return Err(Problem::invalid("name", detail));
    }
    Ok(name.to_owned())
}

fn ttl(seconds: Option<i64>) -> Result<Option<TimeDelta>, Problem> {
    match seconds {
        None => Ok(None),
        Some(seconds @ 1..=TTL_MAX) => Ok(Some(TimeDelta::seconds(seconds))),
        Some(_) => {
            let detail = format!("`ttl_seconds` is from 1 to {TTL_MAX}, or null for no end");
            Err(Problem::invalid("ttl_seconds", detail))
        }
    }
}

fn scopes(caller: &Caller, asked: Option<Vec<Scope>>) -> Result<Option<Vec<Scope>>, Problem> {
    let Some(asked) = asked else { return Ok(caller.scopes.map(Scopes::list)) };
    if asked.is_empty() {
        let detail = "a token without any scope could do nothing; leave `scopes` out to pass on your own";
        return Err(Problem::invalid("scopes", detail));
    }
    match asked.iter().find(|scope| !caller.may(**scope)) {
        Some(scope) => {
            let detail = format!("your own token lacks scope {scope}, so it cannot pass it on");
            Err(Problem::new(Code::Forbidden, detail).param("scopes"))
        }
        None => Ok(Some(Scopes::of(&asked).list())),
    }
}
