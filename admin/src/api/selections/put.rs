//! `PUT /selections/{operation}`: the next request speaks or transcribes with this.
//!
//! Providers are checked here; models and voices are the provider's to know, so only their length is.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use policies::descriptor::Providers;
use policies::vocabulary::Operation;
use serde::Deserialize;
use vault::{Choice, Selection};

use super::{Shown, operation};
use crate::Admin;
use crate::caller::Proven;
use crate::params::{Given, Params};
use crate::problem::Problem;

const FALLBACKS_MAX: usize = 8;
const NAME_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    provider: String,
    model: Option<String>,
    voice: Option<String>,
    #[serde(default)]
    fallbacks: Vec<Fallback>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fallback {
    provider: String,
    model: Option<String>,
    voice: Option<String>,
}

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(named): Path<String>,
    proven: Proven,
    mut params: Params,
    Given(put): Given<Put>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let operation = operation(&named)?;
    let owner = proven.changes(&mut params)?;
    params.finish()?;
    let selection = selection(&admin.providers, operation, put)?;
    let created = admin.vault.put_selection(&proven.actor, &owner, operation, &selection).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Shown { operation, selection })))
}

fn selection(providers: &Providers, operation: Operation, put: Put) -> Result<Selection, Problem> {
    let Put { provider, model, voice, fallbacks } = put;
    if fallbacks.len() > FALLBACKS_MAX {
        return Err(Problem::invalid("fallbacks", format!("at most {FALLBACKS_MAX} fallbacks are tried")));
    }
    let first = choice(providers, operation, "", Fallback { provider, model, voice })?;
    let mut seen = HashSet::from([places(&first)]);
    let mut choices = Vec::new();
    for (number, fallback) in fallbacks.into_iter().enumerate() {
        let at = format!("fallbacks[{number}]");
        let choice = choice(providers, operation, &format!("{at}."), fallback)?;
        if !seen.insert(places(&choice)) {
            return Err(Problem::invalid(at, "this choice is there already"));
        }
        choices.push(choice);
    }
    let Choice { provider, model, voice } = first;
    Ok(Selection { provider, model, voice, fallbacks: choices })
}

/// What makes two choices the same.
fn places(choice: &Choice) -> (String, Option<String>, Option<String>) {
    (choice.provider.to_string(), choice.model.clone(), choice.voice.clone())
}

/// `within` is the path to the choice, for errors.
fn choice(
    providers: &Providers,
    operation: Operation,
    within: &str,
    given: Fallback,
) -> Result<Choice, Problem> {
    let Some(provider) = providers.get(&given.provider) else {
        return Err(Problem::invalid(format!("{within}provider"), "no provider has that id"));
    };
    if !provider.operations.contains(&operation) {
        let detail = format!("{} does not do {operation}", provider.name);
        return Err(Problem::invalid(format!("{within}provider"), detail));
    }
    let model = name(given.model, format!("{within}model"))?;
    let voice = name(given.voice, format!("{within}voice"))?;
    Ok(Choice { provider: provider.id.clone(), model, voice })
}

fn name(given: Option<String>, field: String) -> Result<Option<String>, Problem> {
    let fits = |text: &String| {
        !text.trim().is_empty() && text.len() <= NAME_MAX && !text.chars().any(char::is_control)
    };
    match given {
        Some(text) if !fits(&text) => {
            let detail = format!("`{field}` is 1 to {NAME_MAX} bytes of printable text, or null");
            Err(Problem::invalid(field, detail))
        }
        given => Ok(given),
    }
}
