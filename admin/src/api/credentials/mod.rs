//! Stored keys, of the caller or of a team: brought, shown by their last four characters, asked about, removed.

pub mod delete;
pub mod list;
pub mod put;
pub mod quota;
pub mod read;
pub mod validate;

use axum::Json;
use chrono::{DateTime, Utc};
use policies::descriptor::{Provider, Settings};
use policies::vocabulary::{Actor, Code, CredentialStatus, Owner, ProviderId};
use serde::Serialize;
use vault::CredentialRow;

use crate::Admin;
use crate::problem::Problem;

/// A credential as its owner sees it: everything but the key.
#[derive(Serialize)]
pub struct Shown {
    provider: ProviderId,
    /// `user:…` or `team:…`.
    owner: String,
    masked_key: String,
    settings: Settings,
    status: CredentialStatus,
    status_reason: Option<Code>,
    status_detail: Option<String>,
    last_validated_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<CredentialRow> for Shown {
    fn from(row: CredentialRow) -> Self {
        Self {
            provider: row.provider,
            owner: row.owner.to_string(),
            masked_key: row.masked_key,
            settings: row.settings,
            status: row.status,
            status_reason: row.status_reason,
            status_detail: row.status_detail,
            last_validated_at: row.last_validated_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The credential as it stands, from the database.
async fn stored(
    admin: &Admin,
    actor: &Actor,
    owner: &Owner,
    provider: &Provider,
) -> Result<Json<Shown>, Problem> {
    let row = admin.vault.read_credential(actor, owner, &provider.id).await?;
    Ok(Json(row.ok_or_else(|| none_stored(provider))?.into()))
}

fn none_stored(provider: &Provider) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("no credential is stored for {}", provider.name),
    )
}
