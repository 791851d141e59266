//! `DELETE /credentials/{provider}`: the key is gone on every node when the answer arrives.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;

use super::none_stored;
use crate::Admin;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<StatusCode, Problem> {
    let provider = admin.provider(&provider)?;
    let owner = proven.changes(&mut params)?;
    params.finish()?;
    match admin
        .vault
        .delete_credential(&proven.actor, &owner, &provider.id)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(none_stored(provider)),
    }
}

#[cfg(test)]
mod tests {
    use policies::vocabulary::AuditAction;

    use crate::harness::House;

    #[tokio::test]
    async fn gone_is_gone_and_a_second_time_not_found() {
        let house = House::build().await;
        let (token, other) = (house.token("ann").await, house.token("bob").await);
        house.store(&token).await;
        let line = "DELETE /api/v1/credentials/elevenlabs";
        house.call(line, &other, "").await.is(404, "not_found");
        assert_eq!(house.call(line, &token, "").await.status, 204);
        house.call(line, &token, "").await.is(404, "not_found");
        house
            .call("GET /api/v1/credentials/elevenlabs", &token, "")
            .await
            .is(404, "not_found");
        house
            .call("GET /api/v1/providers/elevenlabs/models", &token, "")
            .await
            .is(424, "credential_missing");
        let done = house.audited(AuditAction::CredentialDelete).await;
        assert!(
            done.iter()
                .any(|event| event.user.as_ref().is_some_and(|user| user.as_str() == "ann")),
            "{done:?}"
        );
    }
}
