//! `GET /providers/{provider}/models`: the models that the caller's effective credential may use.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use policies::descriptor::Model;

use crate::Admin;
use crate::api::{Listing, selections};
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;
use crate::{effective, trouble};

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<Model>>, Problem> {
    let provider = admin.provider(&provider)?;
    let operation = params.word("operation", selections::parse)?;
    params.finish()?;
    let credential = effective::credential(&admin, &proven.caller, provider).await?;
    let models = admin.catalogue.models(&proven.actor, provider, &credential).await;
    let models = models.map_err(|unlisted| trouble::unlisted(provider, unlisted))?;
    let wanted = |model: &&Model| operation.is_none_or(|operation| model.operations.contains(&operation));
    Ok(Json(Listing::whole(
        models.iter().filter(wanted).cloned().collect(),
    )))
}

#[cfg(test)]
mod tests {
    use policies::vocabulary::Scope;
    use serde_json::Value;

    use crate::harness::{House, LACKS_MODELS_READ, WRONG_KEY};

    const MODELS: &str = "GET /api/v1/providers/elevenlabs/models";

    fn ids(listing: &Value) -> Vec<&str> {
        listing["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["id"].as_str().expect("an id"))
            .collect()
    }

    #[tokio::test]
    async fn models_are_live_kept_and_filtered() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        let before = house.fake.asked().len();
        let all = house.call(MODELS, &token, "").await.ok();
        assert!(ids(&all).contains(&"eleven_multilingual_v2"), "{all}");
        let stt = house
            .call(&format!("{MODELS}?operation=stt"), &token, "")
            .await
            .ok();
        assert!(!ids(&stt).contains(&"eleven_multilingual_v2"), "{stt}");
        let tts = house
            .call(&format!("{MODELS}?operation=tts"), &token, "")
            .await
            .ok();
        assert!(ids(&tts).contains(&"eleven_multilingual_v2"), "{tts}");
        assert_eq!(
            house.fake.asked().len(),
            before + 1,
            "asked once for three answers"
        );
        for bad in ["?operation=lookup", "?operation=both", "?limit=5"] {
            house
                .call(&format!("{MODELS}{bad}"), &token, "")
                .await
                .is(400, "invalid_request");
        }
    }

    #[tokio::test]
    async fn a_replaced_key_is_asked_anew() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        house.call(MODELS, &token, "").await.ok();
        house.store(&token).await;
        let before = house.fake.asked().len();
        house.call(MODELS, &token, "").await.ok();
        assert_eq!(house.fake.asked().len(), before + 1);
    }

    #[tokio::test]
    async fn without_a_key_the_way_to_bring_one_is_shown() {
        let house = House::build().await;
        let said = house.call(MODELS, &house.token("ann").await, "").await;
        assert_eq!(
            said.is(424, "credential_missing")["setup_url"],
            "http://admin.test/providers/elevenlabs"
        );
        assert_eq!(
            said.headers["x-voxgate-setup-url"],
            "http://admin.test/providers/elevenlabs"
        );
    }

    #[tokio::test]
    async fn the_team_s_key_serves_its_members() {
        let house = House::build().await;
        let admin = house.member("ann", "red", true).await;
        house.fake.takes_the_planted_key();
        let body = crate::harness::key(crate::harness::PLANTED);
        house
            .call("PUT /api/v1/credentials/elevenlabs?owner=team:red", &admin, &body)
            .await
            .ok();
        house
            .call(MODELS, &house.member("bob", "red", false).await, "")
            .await
            .ok();
        house
            .call(MODELS, &house.token("eve").await, "")
            .await
            .is(424, "credential_missing");
    }

    #[tokio::test]
    async fn a_key_that_may_not_list_gets_what_the_descriptor_knows() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        house.fake.says(401, "", LACKS_MODELS_READ);
        let listing = house.call(MODELS, &token, "").await.ok();
        assert!(ids(&listing).contains(&"scribe_v2"), "{listing}");
    }

    #[tokio::test]
    async fn a_key_refused_while_listing_is_marked_invalid() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        house.fake.says(401, "", WRONG_KEY);
        let speaks = house.scoped("ann", Scope::Tts).await;
        house
            .call(MODELS, &speaks, "")
            .await
            .is(424, "credential_invalid");
        let read = "GET /api/v1/credentials/elevenlabs";
        for _ in 0..100 {
            if house.call(read, &token, "").await.ok()["status"] == "invalid" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("still valid after two seconds");
    }

    #[tokio::test]
    async fn the_system_s_key_serves_who_has_none_and_never_replaces_one_that_is_refused() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.fake.takes_the_planted_key();
        house.serve_system_key("elevenlabs");
        house.call(MODELS, &token, "").await.ok();
        house.store(&token).await;
        house.fake.says(401, "", WRONG_KEY);
        house
            .call("POST /api/v1/credentials/elevenlabs/validate", &token, "")
            .await
            .ok();
        house.fake.takes_the_planted_key();
        house.call(MODELS, &token, "").await.is(424, "credential_invalid");
    }
    #[tokio::test]
    async fn another_system_key_does_not_show_what_the_former_could_see() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.fake.takes_the_planted_key();
        house.serve_system_key("elevenlabs");
        assert!(ids(&house.call(MODELS, &token, "").await.ok()).contains(&"eleven_multilingual_v2"));
        house.clock.advance(chrono::TimeDelta::seconds(1));
        house.serve_system_key("elevenlabs");
        house.fake.says(200, "", "[]");
        assert!(!ids(&house.call(MODELS, &token, "").await.ok()).contains(&"eleven_multilingual_v2"));
    }
}
