//! `GET /credentials`: every stored key of the caller, or of a team.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Shown;
use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<Shown>>, Problem> {
    let owner = proven.reads(&mut params)?;
    params.finish()?;
    let rows = admin.vault.list_credentials(&proven.actor, &owner).await?;
    Ok(Json(Listing::whole(rows.into_iter().map(Shown::from).collect())))
}

#[cfg(test)]
mod tests {
    use policies::vocabulary::AuditAction;
    use serde_json::json;

    use crate::harness::House;

    #[tokio::test]
    async fn people_see_their_own_and_reading_is_on_record() {
        let house = House::build().await;
        let (token, other) = (house.token("ann").await, house.token("bob").await);
        house.store(&token).await;
        let listing = house.call("GET /api/v1/credentials", &token, "").await.ok();
        assert_eq!(
            (listing["items"].as_array().map(Vec::len), &listing["next_cursor"]),
            (Some(1), &json!(null))
        );
        assert_eq!(listing["items"][0]["masked_key"], "…wxyz");
        assert_eq!(
            house.call("GET /api/v1/credentials", &other, "").await.ok()["items"],
            json!([])
        );
        assert!(!house.audited(AuditAction::CredentialRead).await.is_empty());
    }
}
