//! `GET /audit`: the caller's record, or everyone's for operators, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use policies::vocabulary::{AuditAction, AuditEvent, ProviderId};
use vault::AuditFilter;

use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<AuditEvent>>, Problem> {
    let page = params.page()?;
    let filter = AuditFilter {
        owner: proven.recorded(&mut params)?,
        action: params.word("action", AuditAction::parse)?,
        provider: params.take("provider").map(ProviderId::new),
        from: params.from()?,
        to: params.to()?,
        cursor: page.cursor,
        limit: page.limit,
    };
    params.finish()?;
    Ok(Json(Listing::page(admin.vault.read_audit(filter).await?)))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::harness::House;

    fn actions(listing: &Value) -> Vec<String> {
        let items = listing["items"].as_array().expect("items");
        items
            .iter()
            .map(|item| {
                format!(
                    "{} {}",
                    item["user"].as_str().unwrap_or("-"),
                    item["action"].as_str().unwrap_or("-")
                )
            })
            .collect()
    }

    #[tokio::test]
    async fn people_see_their_own_record_and_operators_everyone_s() {
        let house = House::build().await;
        let (ann, bob, root) = (
            house.token("ann").await,
            house.token("bob").await,
            house.operator("root").await,
        );
        house.store(&ann).await;
        house
            .call("PUT /api/v1/selections/tts", &bob, r#"{"provider":"azure"}"#)
            .await
            .ok();
        let own = actions(&house.call("GET /api/v1/audit", &ann, "").await.ok());
        assert!(own.contains(&"ann credential.create".to_owned()), "{own:?}");
        assert!(own.iter().all(|line| line.starts_with("ann ")), "{own:?}");
        let all = actions(&house.call("GET /api/v1/audit", &root, "").await.ok());
        assert!(
            all.contains(&"ann credential.create".to_owned())
                && all.contains(&"bob selection.create".to_owned()),
            "{all:?}"
        );
        let bobs = actions(
            &house
                .call("GET /api/v1/audit?owner=user:bob", &root, "")
                .await
                .ok(),
        );
        assert!(
            !bobs.is_empty() && bobs.iter().all(|line| line.starts_with("bob ")),
            "{bobs:?}"
        );
        house
            .call("GET /api/v1/audit?owner=bob", &ann, "")
            .await
            .is(403, "forbidden");
    }

    #[tokio::test]
    async fn filters_are_checked_by_name() {
        let house = House::build().await;
        let ann = house.token("ann").await;
        house.store(&ann).await;
        let audit = "GET /api/v1/audit";
        let created = house
            .call(
                &format!("{audit}?action=credential.create&provider=elevenlabs"),
                &ann,
                "",
            )
            .await
            .ok();
        assert_eq!(actions(&created), ["ann credential.create"]);
        assert_eq!(created["items"][0]["at"], "2026-01-31T08:00:00Z");
        let day = house
            .call(&format!("{audit}?from=2026-01-31&to=2026-01-31"), &ann, "")
            .await
            .ok();
        assert!(!actions(&day).is_empty(), "a last date counts whole");
        let later = house
            .call(&format!("{audit}?from=2026-02-01"), &ann, "")
            .await
            .ok();
        assert!(actions(&later).is_empty(), "{later}");
        for (query, param) in [
            ("action=nonsense", "action"),
            ("from=soon", "from"),
            ("to=soon", "to"),
            ("limit=0", "limit"),
            ("cursor=x", "cursor"),
            ("user=bob", "user"),
            ("owner=team:red", "owner"),
        ] {
            let said = house.call(&format!("{audit}?{query}"), &ann, "").await;
            assert_eq!(said.is(400, "invalid_request")["param"], param, "{query}");
        }
    }

    #[tokio::test]
    async fn refusals_of_permission_come_on_record() {
        let house = House::build().await;
        let (ann, root) = (house.token("ann").await, house.operator("root").await);
        house
            .call("GET /api/v1/credentials?owner=team:red", &ann, "")
            .await
            .is(403, "forbidden");
        for _ in 0..100 {
            let listing = house
                .call("GET /api/v1/audit?action=call.refuse", &root, "")
                .await
                .ok();
            if actions(&listing) == ["ann call.refuse"] {
                assert_eq!(listing["items"][0]["outcome"], "refused");
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("not on record after five seconds");
    }
}
