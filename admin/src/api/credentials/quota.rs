//! `GET /credentials/{provider}/quota`: what is left on the account behind a stored key.
//!
//! Not knowing is an answer, not a problem: many keys may speak but not read their account. It never says
//! anything about the key itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use catalogue::deadline;
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
use crate::params::Params;
use crate::problem::Problem;
use crate::trouble::{not_valid, silent, unreadable};

#[derive(Serialize)]
pub struct Left {
    #[serde(flatten)]
    quota: Quota,
    /// Why it is not known, where the provider said so.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    let stored = admin
        .vault
        .read_credential(&proven.actor, &owner, &provider.id)
        .await?;
    let opened = admin.vault.credential(&owner, &provider.id).await?;
    let credential = stored.and(opened).ok_or_else(|| none_stored(provider))?;
    effective::bound_here(provider, &credential)?;
    ask(&admin, provider, &credential).await.map(Json)
}

async fn ask(admin: &Admin, provider: &Provider, credential: &Credential) -> Result<Left, Problem> {
    let call = rewrite::ask(
        provider,
        &credential.hosts,
        Question::Quota,
        credential.secret.expose(),
    )
    .map_err(|error| Problem::internal(error.to_string()))?;
    let Some(call) = call else {
        return Ok(unknown(None));
    };
    let answer = admin
        .catalogue
        .asker()
        .ask(call, deadline())
        .await
        .map_err(|silence| silent(provider, silence))?;
    match rules::judge(provider, answer.status, &answer.body) {
        Verdict::Valid => {
            let quota = rewrite::read_quota(provider, &answer.body)
                .map_err(|error| unreadable(provider, &error.to_string()))?;
            Ok(Left { quota, detail: None })
        }
        verdict @ (Verdict::Restricted | Verdict::Invalid | Verdict::Caller) => Ok(unknown(Some(
            rules::explain(provider, verdict, answer.status, &answer.body),
        ))),
        verdict => Err(not_valid(provider, verdict, &answer)),
    }
}

fn unknown(detail: Option<String>) -> Left {
    let quota = Quota {
        supported: false,
        used: None,
        limit: None,
        unit: None,
        resets_at: None,
    };
    Left { quota, detail }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::harness::{House, PLANTED, key};

    const QUOTA: &str = "GET /api/v1/credentials/elevenlabs/quota";

    #[tokio::test]
    async fn what_is_left_is_read_from_the_provider() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.call(QUOTA, &token, "").await.is(404, "not_found");
        house.store(&token).await;
        house.fake.says(
            200,
            "",
            r#"{"tier":"free","character_count":1200,"character_limit":10000,"next_character_count_reset_unix":1769846400}"#,
        );
        let quota = house.call(QUOTA, &token, "").await.ok();
        assert_eq!(
            (&quota["supported"], &quota["detail"]),
            (&json!(true), &json!(null))
        );
        assert_eq!(
            (quota["used"].as_f64(), quota["limit"].as_f64()),
            (Some(1200.0), Some(10000.0))
        );
        assert_eq!(quota["resets_at"], "2026-01-31T08:00:00Z");
    }

    #[tokio::test]
    async fn a_key_that_may_not_look_is_not_marked_for_it() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        house.fake.says(
            401,
            "",
            r#"{"detail":{"status":"missing_permissions","message":"missing the permission user_read"}}"#,
        );
        let quota = house.call(QUOTA, &token, "").await.ok();
        assert_eq!(
            (&quota["supported"], &quota["used"]),
            (&json!(false), &json!(null))
        );
        assert!(quota["detail"].is_string(), "{quota}");
        let credential = house
            .call("GET /api/v1/credentials/elevenlabs", &token, "")
            .await
            .ok();
        assert_eq!(
            (&credential["status"], &credential["status_reason"]),
            (&json!("valid"), &json!(null))
        );
    }

    #[tokio::test]
    async fn a_provider_without_such_a_call_says_so_unasked() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.fake.says(
            200,
            "",
            r#"{"models":[{"name":"models/gemini-2.5-flash-preview-tts"}]}"#,
        );
        house
            .call("PUT /api/v1/credentials/gemini", &token, &key(PLANTED))
            .await
            .ok();
        let asked = house.fake.asked().len();
        let quota = house
            .call("GET /api/v1/credentials/gemini/quota", &token, "")
            .await
            .ok();
        assert_eq!(
            quota,
            json!({"supported": false, "used": null, "limit": null, "unit": null, "resets_at": null})
        );
        assert_eq!(house.fake.asked().len(), asked);
    }
}
