//! `GET /providers`: every provider, what its key needs, and whether the caller has one.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use policies::descriptor::{Provider, Setting, Shape};
use policies::vocabulary::{Operation, Owner, ProviderId, Scope};
use serde::Serialize;

use crate::Admin;
use crate::api::Listing;
use crate::api::credentials::Shown;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

#[derive(Serialize)]
pub struct Offered {
    id: ProviderId,
    name: String,
    operations: Vec<Operation>,
    settings: Vec<Needed>,
    /// Where the provider's paths begin on the gateway.
    base_path: String,
    key_url: String,
    /// The caller's own; also null for a token that may not read credentials.
    credential: Option<Shown>,
    system_credential: bool,
}

/// A setting, with enough to draw a form from.
#[derive(Serialize)]
struct Needed {
    name: String,
    title: String,
    help: String,
    required: bool,
    /// Needed only while this other setting has no value.
    required_unless: Option<String>,
    default: Option<String>,
    /// Values known to work; `closed` says that there are no others.
    values: Vec<String>,
    closed: bool,
}

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    params: Params,
) -> Result<Json<Listing<Offered>>, Problem> {
    params.finish()?;
    let mut own = HashMap::new();
    if proven.caller.may(Scope::CredentialsRead) {
        let owner = Owner::User(proven.caller.user.clone());
        for row in admin.vault.list_credentials(&proven.actor, &owner).await? {
            own.insert(row.provider.clone(), Shown::from(row));
        }
    }
    let offered = |provider: &Arc<Provider>| Offered {
        id: provider.id.clone(),
        name: provider.name.clone(),
        operations: provider.operations.clone(),
        settings: provider.settings.iter().map(needed).collect(),
        base_path: format!("/{}", provider.id),
        key_url: provider.key_url.clone(),
        credential: own.remove(&provider.id),
        system_credential: admin.vault.system_credential(&provider.id).is_some(),
    };
    Ok(Json(Listing::whole(admin.providers.iter().map(offered).collect())))
}

fn needed(setting: &Setting) -> Needed {
    let (values, closed) = match &setting.shape {
        Shape::OneOf(words) => (words.clone(), true),
        _ => (setting.known.clone(), false),
    };
    Needed {
        name: setting.name.clone(),
        title: setting.title.clone(),
        help: setting.help.clone(),
        required: setting.required,
        required_unless: setting.required_unless.clone(),
        default: setting.default.clone(),
        values,
        closed,
    }
}
