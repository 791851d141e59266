//! `PUT /credentials/{provider}`: asks the provider whether the key works, then stores it.
//!
//! Whatever the provider says or fails to say, a key that is already stored stays as it is until the new one
//! is proven.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderName, StatusCode, header};
use policies::descriptor::{Model, Settings, SettingsError};
use policies::vocabulary::{Code, Owner};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vault::{NewCredential, Secret};

use super::Shown;
use crate::Admin;
use crate::caller::Proven;
use crate::params::{Given, Params, shown};
use crate::problem::Problem;
use crate::validation::{self, Candidate};

const KEY_MAX: usize = 4 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    api_key: String,
    settings: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize)]
pub struct Stored {
    #[serde(flatten)]
    credential: Shown,
    models: Vec<Model>,
}

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
    Given(put): Given<Put>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Stored>), Problem> {
    let provider = admin.provider(&provider)?;
    let owner = proven.changes(&mut params)?;
    params.finish()?;
    let secret = key(put.api_key)?;
    let given = texts(put.settings.unwrap_or_default())?;
    let settings = provider.settings(&given).map_err(invalid_settings)?;
    let hosts = provider.hosts(&settings).map_err(invalid_settings)?;

    let candidate = Candidate {
        provider,
        owner: &owner,
        settings: &settings,
        hosts: &hosts,
        secret: &secret,
    };
    let proof = validation::admit(&admin, &proven.actor, candidate).await?;
    let location = location(provider.id.as_str(), &owner);
    let new = NewCredential {
        owner,
        provider: provider.id.clone(),
        secret,
        settings,
        hosts,
        status_reason: proof.reason,
        status_detail: proof.detail,
    };
    let (row, created) = admin.vault.put_credential(&proven.actor, new).await?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((
        status,
        [(header::LOCATION, location)],
        Json(Stored {
            credential: row.into(),
            models: proof.models,
        }),
    ))
}

/// A key as it may travel in a header; blanks around it come from pasting.
fn key(given: String) -> Result<Secret, Problem> {
    let given = Secret::new(given);
    let key = given.expose().trim();
    let wrong = if key.is_empty() {
        "`api_key` is empty"
    } else if key.len() > KEY_MAX {
        "`api_key` is longer than 4 KiB"
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        "`api_key` has characters that no key has: blanks, line ends or letters beyond ASCII"
    } else {
        return Ok(Secret::new(key));
    };
    Err(Problem::invalid("api_key", wrong))
}

/// Whatever is wrong with a setting, also its type, is said of the setting.
fn texts(given: BTreeMap<String, Value>) -> Result<Settings, Problem> {
    let text = |(setting, value)| match value {
        Value::String(text) => Ok((setting, text)),
        _ => Err(invalid_settings(SettingsError {
            setting,
            message: "must be a string".to_owned(),
        })),
    };
    given.into_iter().map(text).collect()
}

fn invalid_settings(error: SettingsError) -> Problem {
    let setting = shown(&error.setting);
    Problem::new(Code::InvalidSettings, format!("`{setting}` {}", error.message)).param(setting)
}

fn location(provider: &str, owner: &Owner) -> String {
    let query = match owner {
        Owner::Team(_) => {
            let owner: String = url::form_urlencoded::byte_serialize(owner.to_string().as_bytes()).collect();
            format!("?owner={owner}")
        }
        _ => String::new(),
    };
    format!("/api/v1/credentials/{provider}{query}")
}

#[cfg(test)]
mod tests;
