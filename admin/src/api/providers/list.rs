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
    Ok(Json(Listing::whole(
        admin.providers.iter().map(offered).collect(),
    )))
}

fn needed(setting: &Setting) -> Needed {
    let (values, closed) = match &setting.shape {
        Shape::OneOf(words) => (words.clone(), true),
        Shape::OperatorUrl { urls, .. } => (urls.iter().map(ToString::to_string).collect(), true),
        Shape::Label { .. } => (setting.known.clone(), false),
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

#[cfg(test)]
mod tests {
    use policies::vocabulary::Scope;
    use serde_json::{Value, json};

    use crate::harness::House;

    fn one<'a>(listing: &'a Value, id: &str) -> &'a Value {
        let items = listing["items"].as_array().expect("items");
        items
            .iter()
            .find(|item| item["id"] == id)
            .unwrap_or_else(|| panic!("{id} in {listing}"))
    }

    #[tokio::test]
    async fn every_provider_is_told_with_what_it_needs_and_what_i_have() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        let listing = house.call("GET /api/v1/providers", &token, "").await.ok();
        let azure = one(&listing, "azure");
        assert_eq!(
            (&azure["base_path"], &azure["operations"]),
            (&json!("/azure"), &json!(["tts", "stt"]))
        );
        assert_eq!(
            (&azure["credential"], &azure["system_credential"]),
            (&json!(null), &json!(false))
        );
        let settings = azure["settings"].as_array().expect("settings");
        assert!(
            settings.iter().any(|setting| setting["name"] == "region"),
            "{azure}"
        );
        assert!(
            azure["key_url"]
                .as_str()
                .is_some_and(|url| url.starts_with("https://")),
            "{azure}"
        );
        assert_eq!(one(&listing, "elevenlabs")["credential"]["masked_key"], "…wxyz");
    }

    #[tokio::test]
    async fn a_setting_that_is_a_url_shows_those_that_the_operator_lists() {
        const URL: &str = "http://10.0.0.5:8000/v1";
        let text = include_str!("../../../../config/providers/gemini.toml")
            .replacen("id = \"gemini\"", "id = \"own\"", 1)
            .replacen("https://generativelanguage.googleapis.com", "{base_url}", 1)
            + "\n[[settings]]\nname = \"base_url\"\ntitle = \"Base URL\"\nrequired = true\nshape = \"operator_url\"\n";
        let house = House::over(|providers| {
            let own = providers.with_file("own.toml", &text).expect("a descriptor");
            own.with_base_urls("own", &[URL.to_owned()]).expect("a URL")
        })
        .await;
        let token = house.token("ann").await;
        let listing = house.call("GET /api/v1/providers", &token, "").await.ok();
        let setting = &one(&listing, "own")["settings"][0];
        assert_eq!(
            (&setting["values"], &setting["closed"]),
            (&json!([URL]), &json!(true))
        );
        let body = json!({"api_key": "k", "settings": {"base_url": "http://10.0.0.6:8000/v1"}}).to_string();
        let problem = house.call("PUT /api/v1/credentials/own", &token, &body).await;
        let problem = problem.is(422, "invalid_settings");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(URL)),
            "{problem}"
        );
    }

    #[tokio::test]
    async fn a_token_that_may_not_read_credentials_sees_none() {
        let house = House::build().await;
        house.store(&house.token("ann").await).await;
        let listing = house
            .call(
                "GET /api/v1/providers",
                &house.scoped("ann", Scope::Tts).await,
                "",
            )
            .await
            .ok();
        assert_eq!(one(&listing, "elevenlabs")["credential"], json!(null));
    }
}
