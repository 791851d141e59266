//! `GET /providers/{provider}/voices`: the voices that the caller's effective credential reaches.
//!
//! Pages are the provider's own: `cursor` is what it calls its next page, and there is no `limit`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use catalogue::Search;
use policies::descriptor::Voice;

use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;
use crate::{effective, trouble};

/// No provider's cursor or name of a voice is longer.
const TEXT_MAX: usize = 512;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<Voice>>, Problem> {
    let provider = admin.provider(&provider)?;
    let search = Search {
        q: text(&mut params, "q")?,
        language: text(&mut params, "language")?,
        cursor: text(&mut params, "cursor")?,
    };
    params.finish()?;
    let credential = effective::credential(&admin, &proven.caller, provider).await?;
    let page = admin
        .catalogue
        .voices(&proven.actor, provider, &credential, search)
        .await
        .map_err(|unlisted| trouble::unlisted(provider, unlisted))?;
    Ok(Json(Listing::page(page)))
}

fn text(params: &mut Params, name: &'static str) -> Result<Option<String>, Problem> {
    match params.take(name) {
        Some(text) if text.len() > TEXT_MAX || text.chars().any(char::is_control) => Err(Problem::invalid(
            name,
            format!("`{name}` is at most {TEXT_MAX} bytes of printable text"),
        )),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::harness::House;

    const VOICES: &str = "GET /api/v1/providers/elevenlabs/voices";

    #[tokio::test]
    async fn search_and_cursor_go_to_the_provider_and_its_next_page_comes_back() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        house.fake.says(
            200,
            "",
            r#"{"voices":[{"voice_id":"v1","name":"Rachel","labels":{"gender":"female"}}],"has_more":true,"next_page_token":"page-2"}"#,
        );
        let listing = house.call(&format!("{VOICES}?q=Rachel"), &token, "").await.ok();
        assert_eq!(
            (&listing["items"][0]["id"], &listing["next_cursor"]),
            (&json!("v1"), &json!("page-2"))
        );
        house
            .call(&format!("{VOICES}?q=Rachel&cursor=page-2"), &token, "")
            .await
            .ok();
        house
            .call(&format!("{VOICES}?q=Rachel&cursor=page-2"), &token, "")
            .await
            .ok();
        let asked = house.fake.asked();
        let pages: Vec<_> = asked.iter().filter(|line| line.contains("Rachel")).collect();
        assert_eq!(pages.len(), 2, "the third answer was kept: {asked:?}");
        assert!(pages[1].contains("page-2"), "{pages:?}");
        house
            .call(&format!("{VOICES}?cursor={}", "x".repeat(600)), &token, "")
            .await
            .is(400, "invalid_request");
    }

    #[tokio::test]
    async fn what_is_not_the_provider_s_format_is_its_error() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        house.fake.says(
            200,
            "content-type: text/html\r\n",
            "<html>sign in to the hotel</html>",
        );
        house.call(VOICES, &token, "").await.is(502, "provider_error");
    }

    #[tokio::test]
    async fn a_list_that_is_searched_here_is_asked_for_once() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.fake.says(
            200,
            "",
            r#"[{"ShortName":"en-US-AvaNeural","DisplayName":"Ava","Locale":"en-US","Gender":"Female"},
                {"ShortName":"de-DE-KatjaNeural","DisplayName":"Katja","Locale":"de-DE","Gender":"Female"}]"#,
        );
        let body = json!({"api_key": crate::harness::PLANTED, "settings": {"region": "eastus"}}).to_string();
        house
            .call("PUT /api/v1/credentials/azure", &token, &body)
            .await
            .ok();
        let before = house.fake.asked().len();
        let voices = "GET /api/v1/providers/azure/voices";
        for (query, ids) in [
            ("", json!(["en-US-AvaNeural", "de-DE-KatjaNeural"])),
            ("?q=kat", json!(["de-DE-KatjaNeural"])),
            ("?language=en", json!(["en-US-AvaNeural"])),
        ] {
            let listing = house.call(&format!("{voices}{query}"), &token, "").await.ok();
            let items = listing["items"].as_array().expect("items");
            let found: Vec<_> = items.iter().map(|voice| voice["id"].clone()).collect();
            assert_eq!(json!(found), ids, "{query}");
        }
        assert_eq!(house.fake.asked().len(), before + 1);
    }
}
