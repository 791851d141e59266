//! `PUT /selections/{operation}`: the next request speaks or transcribes with this.
//!
//! What it names has to be there, as far as anyone can say before the first call.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use policies::descriptor::Providers;
use policies::vocabulary::Operation;
use policies::vocabulary::{Choice, Selection};
use serde::Deserialize;

use super::check::check;
use super::operation;
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
    fallbacks: Option<Vec<Fallback>>,
    /// As the list of selections says it: what was read may be put.
    operation: Option<Operation>,
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
) -> Result<(StatusCode, Json<Selection>), Problem> {
    let operation = operation(&named)?;
    let owner = proven.changes(&mut params)?;
    params.finish()?;
    let selection = selection(&admin.providers, operation, put)?;
    check(&admin, &proven, &owner, operation, &selection).await?;
    let created = admin
        .vault
        .put_selection(&proven.actor, &owner, operation, &selection)
        .await?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(selection)))
}

fn selection(providers: &Providers, operation: Operation, put: Put) -> Result<Selection, Problem> {
    let Put {
        provider,
        model,
        voice,
        fallbacks,
        operation: said,
    } = put;
    if said.is_some_and(|said| said != operation) {
        return Err(Problem::invalid(
            "operation",
            "`operation` differs from the path's",
        ));
    }
    let fallbacks = fallbacks.unwrap_or_default();
    if fallbacks.len() > FALLBACKS_MAX {
        return Err(Problem::invalid(
            "fallbacks",
            format!("at most {FALLBACKS_MAX} fallbacks are tried"),
        ));
    }
    let first = choice(
        providers,
        operation,
        "",
        Fallback {
            provider,
            model,
            voice,
        },
    )?;
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
    let Choice {
        provider,
        model,
        voice,
    } = first;
    Ok(Selection {
        provider,
        model,
        voice,
        fallbacks: choices,
    })
}

/// What makes two choices the same.
fn places(choice: &Choice) -> (String, Option<String>, Option<String>) {
    (
        choice.provider.to_string(),
        choice.model.clone(),
        choice.voice.clone(),
    )
}

/// `within` is the path to the choice, for errors.
fn choice(
    providers: &Providers,
    operation: Operation,
    within: &str,
    given: Fallback,
) -> Result<Choice, Problem> {
    let Some(provider) = providers.get(&given.provider) else {
        return Err(Problem::invalid(
            format!("{within}provider"),
            "no provider has that id",
        ));
    };
    if !provider.operations.contains(&operation) {
        let detail = format!("{} does not do {operation}", provider.name);
        return Err(Problem::invalid(format!("{within}provider"), detail));
    }
    let model = name(given.model, format!("{within}model"))?;
    let voice = name(given.voice, format!("{within}voice"))?;
    if voice.is_some() && operation == Operation::Stt {
        let detail = "nothing is spoken for stt, so there is no voice to choose";
        return Err(Problem::invalid(format!("{within}voice"), detail));
    }
    Ok(Choice {
        provider: provider.id.clone(),
        model,
        voice,
    })
}

fn name(given: Option<String>, field: String) -> Result<Option<String>, Problem> {
    let fits = |text: &String| {
        !text.trim().is_empty() && text.len() <= NAME_MAX && !text.chars().any(char::is_control)
    };
    match given {
        // As good as leaving it out.
        Some(text) if text == "default" => Ok(None),
        Some(text) if !fits(&text) => {
            let detail = format!("`{field}` is 1 to {NAME_MAX} bytes of printable text, or null");
            Err(Problem::invalid(field, detail))
        }
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::harness::House;

    const PUT: &str = "PUT /api/v1/selections/tts";

    #[tokio::test]
    async fn a_selection_is_stored_read_listed_and_removed() {
        let house = House::build().await;
        let token = house.token("ann").await;
        let body = json!({
            "provider": "elevenlabs", "model": "eleven_flash_v2_5", "voice": "v1",
            "fallbacks": [{"provider": "azure", "model": null, "voice": "en-US-AvaNeural"}],
        });
        let said = house.call(PUT, &token, &body.to_string()).await;
        assert_eq!(said.status, 201, "{}", said.text);
        assert_eq!(house.call(PUT, &token, &body.to_string()).await.status, 200);
        let read = house.call("GET /api/v1/selections/tts", &token, "").await.ok();
        assert_eq!((&said.json(), &read), (&body, &body));
        let listed = house.call("GET /api/v1/selections", &token, "").await.ok();
        let mut item = body.clone();
        item["operation"] = json!("tts");
        assert_eq!(listed["items"], json!([item]));
        assert_eq!(house.call(PUT, &token, &item.to_string()).await.status, 200);
        house
            .call("GET /api/v1/selections/tts", &house.token("bob").await, "")
            .await
            .is(404, "not_found");
        assert_eq!(
            house
                .call("DELETE /api/v1/selections/tts", &token, "")
                .await
                .status,
            204
        );
        house
            .call("DELETE /api/v1/selections/tts", &token, "")
            .await
            .is(404, "not_found");
    }

    #[tokio::test]
    async fn what_cannot_work_is_refused_by_field() {
        let house = House::build().await;
        let token = house.token("ann").await;
        let fallback = json!({"provider": "elevenlabs", "model": "m"});
        let table = [
            (json!({"provider": "nobody"}), "provider"),
            (json!({"provider": "elevenlabs", "model": ""}), "model"),
            (
                json!({"provider": "elevenlabs", "voice": "x".repeat(257)}),
                "voice",
            ),
            (json!({"provider": "elevenlabs", "voice": "a\nb"}), "voice"),
            (
                json!({"provider": "elevenlabs", "fallbacks": [{"provider": "nobody"}]}),
                "fallbacks[0].provider",
            ),
            (
                json!({"provider": "azure", "fallbacks": [fallback, fallback]}),
                "fallbacks[1]",
            ),
            (
                json!({"provider": "azure", "fallbacks": [{"provider": "azure"}]}),
                "fallbacks[0]",
            ),
            (
                json!({"provider": "azure", "fallbacks": vec![fallback.clone(); 9]}),
                "fallbacks",
            ),
            (json!({"provider": "azure", "speed": 1}), "speed"),
            (json!({"provider": "azure", "operation": "stt"}), "operation"),
            (json!({"model": "m"}), "provider"),
        ];
        for (body, param) in table {
            let problem = house
                .call(PUT, &token, &body.to_string())
                .await
                .is(400, "invalid_request");
            assert_eq!(problem["param"], param, "{body}: {problem}");
        }
        for line in ["PUT /api/v1/selections/lookup", "PUT /api/v1/selections/both"] {
            house
                .call(line, &token, r#"{"provider":"azure"}"#)
                .await
                .is(404, "not_found");
        }
    }

    #[tokio::test]
    async fn a_team_s_selection_is_for_its_admins_to_change() {
        let house = House::build().await;
        let (admin, member) = (
            house.member("ann", "red", true).await,
            house.member("bob", "red", false).await,
        );
        let line = "PUT /api/v1/selections/stt?owner=team:red";
        house
            .call(line, &member, r#"{"provider":"azure"}"#)
            .await
            .is(403, "forbidden");
        house.call(line, &admin, r#"{"provider":"azure"}"#).await.ok();
        let read = house
            .call("GET /api/v1/selections/stt?owner=team:red", &member, "")
            .await
            .ok();
        assert_eq!(read["provider"], "azure");
    }
}
