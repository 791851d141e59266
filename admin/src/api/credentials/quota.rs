//! `GET /credentials/{provider}/quota`: what is left on the account behind a stored key.
//!
//! Not knowing is an answer, not a problem: many keys may speak but not read their account. It never says
//! anything about the key itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use policies::descriptor::Provider;
use policies::rewrite::{self, Question, Quota};
use policies::rules;
use policies::vocabulary::Verdict;
use serde::Serialize;
use vault::Credential;

use super::none_stored;
use crate::Admin;
use crate::caller::Proven;
use crate::effective;
use crate::lists::{not_valid, silent};
use crate::params::Params;
use crate::problem::Problem;
use crate::validation::ask_deadline;

#[derive(Serialize)]
pub struct Left {
    #[serde(flatten)]
    quota: Quota,
    /// Why it is not known, where the provider said so.
    detail: Option<String>,
}

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Left>, Problem> {
    let provider = admin.provider(&provider)?;
    let owner = proven.reads(&mut params)?;
    params.finish()?;
    let stored = admin.vault.read_credential(&proven.actor, &owner, &provider.id).await?;
    let opened = admin.vault.credential(&owner, &provider.id).await?;
    let credential = stored.and(opened).ok_or_else(|| none_stored(provider))?;
    effective::bound_here(provider, &credential)?;
    ask(&admin, provider, &credential).await.map(Json)
}

async fn ask(admin: &Admin, provider: &Provider, credential: &Credential) -> Result<Left, Problem> {
    let call = rewrite::ask(provider, &credential.hosts, Question::Quota, credential.secret.expose())
        .map_err(|error| Problem::internal(error.to_string()))?;
    let Some(call) = call else { return Ok(unknown(None)) };
    let answer = admin.asker.ask(call, ask_deadline()).await.map_err(|silence| silent(provider, silence))?;
    match rules::judge(provider, answer.status, &answer.body) {
        Verdict::Valid => {
            let quota = rewrite::read_quota(provider, &answer.body)
                .map_err(|error| crate::lists::unreadable(provider, &error.to_string()))?;
            Ok(Left { quota, detail: None })
        }
        verdict @ (Verdict::Restricted | Verdict::Invalid | Verdict::Caller) => {
            Ok(unknown(Some(rules::explain(provider, verdict, answer.status, &answer.body))))
        }
        verdict => Err(not_valid(provider, verdict, &answer)),
    }
}

fn unknown(detail: Option<String>) -> Left {
    let quota = Quota { supported: false, used: None, limit: None, unit: None, resets_at: None };
    Left { quota, detail }
}
