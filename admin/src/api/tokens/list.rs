//! `GET /tokens`: the caller's tokens, newest first.

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
    let page = params.page()?;
    params.finish()?;
    let rows = admin
        .vault
        .list_tokens(&proven.actor, &proven.caller.user, page)
        .await?;
    Ok(Json(Listing::page(rows)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::harness::House;

    #[tokio::test]
    async fn pages_hold_every_token_once() {
        let house = House::build().await;
        let mut token = String::new();
        for _ in 0..5 {
            token = house.token("ann").await;
        }
        house.token("bob").await;
        let (mut seen, mut cursor) = (HashSet::new(), String::new());
        for _ in 0..3 {
            let listing = house
                .call(&format!("GET /api/v1/tokens?limit=2&cursor={cursor}"), &token, "")
                .await
                .ok();
            for item in listing["items"].as_array().expect("items") {
                assert!(seen.insert(item["id"].to_string()), "twice: {item}");
            }
            cursor = listing["next_cursor"].as_str().unwrap_or_default().to_owned();
        }
        assert_eq!((seen.len(), cursor.as_str()), (5, ""));
        let said = house.call("GET /api/v1/tokens?cursor=made-up", &token, "").await;
        assert_eq!(said.is(400, "invalid_request")["param"], "cursor");
    }
}
