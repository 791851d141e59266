//! `POST /credentials/{provider}/validate`: asks the provider again now, and answers with the credential as
//! it then stands.
//!
//! A refused key is an answer (`status` is `invalid`), not a problem: the caller asked for just that. When the
//! provider gives no verdict the credential stays as it was and the problem says why.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::{Shown, none_stored, stored};
use crate::Admin;
use crate::caller::Proven;
use crate::effective;
use crate::params::Params;
use crate::problem::Problem;
use crate::validation;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Shown>, Problem> {
    let provider = admin.provider(&provider)?;
    let owner = proven.changes(&mut params)?;
    params.finish()?;
    let credential = admin
        .vault
        .credential(&owner, &provider.id)
        .await?
        .ok_or_else(|| none_stored(provider))?;
    effective::bound_here(provider, &credential)?;
    let row = validation::again(&admin, &proven.actor, provider, &credential).await?;
    // Replaced or deleted while the provider was asked: the verdict is about a key that is gone.
    match row {
        Some(row) => Ok(Json(row.into())),
        None => stored(&admin, &proven.actor, &owner, provider).await,
    }
}

#[cfg(test)]
mod tests {
    use policies::vocabulary::{AuditAction, AuditOutcome};
    use serde_json::json;

    use crate::harness::{House, WRONG_KEY};

    const VALIDATE: &str = "POST /api/v1/credentials/elevenlabs/validate";

    #[tokio::test]
    async fn the_verdict_is_kept_either_way() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        house.fake.says(401, "", WRONG_KEY);
        let credential = house.call(VALIDATE, &token, "").await.ok();
        assert_eq!(
            (&credential["status"], &credential["status_reason"]),
            (&json!("invalid"), &json!("credential_invalid"))
        );
        let read = house
            .call("GET /api/v1/credentials/elevenlabs", &token, "")
            .await
            .ok();
        assert_eq!(read, credential);
        house
            .call("GET /api/v1/providers/elevenlabs/models", &token, "")
            .await
            .is(424, "credential_invalid");

        house.clock.advance(chrono::TimeDelta::hours(1));
        house.fake.takes_the_planted_key();
        let credential = house.call(VALIDATE, &token, "").await.ok();
        assert_eq!(
            (&credential["status"], &credential["status_reason"]),
            (&json!("valid"), &json!(null))
        );
        assert_eq!(credential["last_validated_at"], "2026-01-31T09:00:00Z");
        assert_eq!(house.audited(AuditAction::CredentialValidate).await.len(), 2);
    }

    #[tokio::test]
    async fn trouble_that_is_not_the_key_s_leaves_it_valid() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        let quota = r#"{"detail":{"status":"quota_exceeded","message":"no credits"}}"#;
        let activity = r#"{"detail":{"status":"detected_unusual_activity","message":"proxy"}}"#;
        for (body, reason) in [
            (quota, "provider_quota_exceeded"),
            (activity, "credential_restricted"),
        ] {
            house.fake.says(401, "", body);
            let credential = house.call(VALIDATE, &token, "").await.ok();
            assert_eq!(
                (&credential["status"], &credential["status_reason"]),
                (&json!("valid"), &json!(reason))
            );
        }
        house.fake.says(500, "", "{}");
        house.call(VALIDATE, &token, "").await.is(502, "provider_error");
        let read = house
            .call("GET /api/v1/credentials/elevenlabs", &token, "")
            .await
            .ok();
        assert_eq!(read["status"], "valid", "no answer is no verdict");
        let audited = house.audited(AuditAction::CredentialValidate).await;
        assert!(
            audited.iter().any(|event| event.outcome == AuditOutcome::Failed),
            "{audited:?}"
        );
    }

    #[tokio::test]
    async fn nothing_stored_is_not_found() {
        let house = House::build().await;
        house
            .call(VALIDATE, &house.token("ann").await, "")
            .await
            .is(404, "not_found");
    }
}
