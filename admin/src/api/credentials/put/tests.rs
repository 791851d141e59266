use std::time::{Duration, Instant};

use policies::vocabulary::{AuditAction, AuditOutcome};
use serde_json::{Value, json};

use crate::harness::{Asked, Does, House, LACKS_MODELS_READ, MODELS, PLANTED, WRONG_KEY, key, led_to};

const PUT: &str = "PUT /api/v1/credentials/elevenlabs";
const READ: &str = "GET /api/v1/credentials/elevenlabs";

async fn stored(house: &House, token: &str) -> Value {
    house.call(READ, token, "").await.json()
}

#[tokio::test]
async fn a_key_that_works_is_stored_and_shown_by_its_last_four() {
    let house = House::build().await;
    let token = house.token("ann").await;
    house.fake.takes_the_planted_key();
    let said = house.call(PUT, &token, &key(&format!("  {PLANTED}\\n"))).await;
    assert_eq!(said.status, 201, "{}", said.text);
    assert_eq!(said.headers["location"], "/api/v1/credentials/elevenlabs");
    let credential = said.json();
    assert_eq!(credential["masked_key"], "…wxyz");
    assert_eq!(
        (&credential["status"], &credential["status_reason"]),
        (&json!("valid"), &json!(null))
    );
    assert_eq!(
        (&credential["provider"], &credential["owner"]),
        (&json!("elevenlabs"), &json!("user:ann"))
    );
    assert_eq!(credential["last_validated_at"], "2026-01-31T08:00:00Z");
    let models = credential["models"].as_array().expect("models");
    assert!(
        models.iter().any(|model| model["id"] == "eleven_multilingual_v2"),
        "{credential}"
    );
    assert_eq!(
        house.call(PUT, &token, &key(PLANTED)).await.status,
        200,
        "the second one replaces"
    );
    assert!(
        stored(&house, &token).await.get("models").is_none(),
        "models come with PUT alone"
    );
}

#[tokio::test]
async fn a_refused_key_leaves_the_old_one_and_goes_on_record() {
    let house = House::build().await;
    let token = house.token("ann").await;
    house.store(&token).await;
    let before = stored(&house, &token).await;
    let refusals: [(u16, &str, &str, u16, &str); 8] = [
        (401, "", WRONG_KEY, 422, "invalid_api_key"),
        (
            401,
            "",
            r#"{"detail":{"status":"detected_unusual_activity","message":"Unusual activity detected."}}"#,
            422,
            "insufficient_permissions",
        ),
        (
            429,
            "retry-after: 17\r\n",
            r#"{"detail":{"status":"system_busy"}}"#,
            429,
            "provider_rate_limited",
        ),
        (500, "", "{}", 502, "provider_error"),
        (
            503,
            "content-type: text/html\r\n",
            "<html>try again</html>",
            502,
            "provider_error",
        ),
        (
            200,
            "content-type: text/html\r\n",
            "<html>sign in to the hotel</html>",
            502,
            "provider_error",
        ),
        (
            302,
            "location: http://127.0.0.1:1/\r\n",
            "",
            502,
            "provider_error",
        ),
        (404, "", r#"{"detail":"Not Found"}"#, 502, "provider_error"),
    ];
    for (status, headers, body, answer, code) in refusals {
        house.fake.says(status, headers, body);
        let problem = house
            .call(PUT, &token, &key("another-key-0000"))
            .await
            .is(answer, code);
        assert_eq!(problem["retryable"], json!(answer != 422), "{problem}");
        assert_eq!(problem["retry_after"].is_u64(), answer != 422, "{problem}");
        assert_eq!(stored(&house, &token).await, before, "after {status} {body}");
    }
    let audited = house.audited(AuditAction::CredentialValidate).await;
    assert_eq!(audited.len(), refusals.len());
    let refused = audited
        .iter()
        .filter(|event| event.outcome == AuditOutcome::Refused);
    assert_eq!(refused.count(), 2, "{audited:?}");
    assert!(
        audited
            .iter()
            .all(|event| event.owner.as_deref() == Some("user:ann")),
        "{audited:?}"
    );
}

#[tokio::test]
async fn a_provider_that_asks_to_wait_is_passed_on_with_its_time() {
    let house = House::build().await;
    let token = house.token("ann").await;
    house.fake.says(429, "retry-after: 17\r\n", "{}");
    let said = house.call(PUT, &token, &key(PLANTED)).await;
    assert_eq!(said.is(429, "provider_rate_limited")["retry_after"], 17);
    assert_eq!(said.headers["retry-after"], "17");
    house.fake.says(429, "", "{}");
    let problem = house
        .call(PUT, &token, &key(PLANTED))
        .await
        .is(429, "provider_rate_limited");
    assert!(
        problem["retry_after"].as_u64().is_some_and(|seconds| seconds > 0),
        "{problem}"
    );
    house.call(READ, &token, "").await.is(404, "not_found");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_the_key_does_not_follow_it() {
    let house = House::build().await;
    let token = house.token("ann").await;
    house.fake.says(307, "location: /elsewhere\r\n", "");
    house
        .call(PUT, &token, &key(PLANTED))
        .await
        .is(502, "provider_error");
    assert!(
        house.fake.asked().iter().all(|line| !line.contains("elsewhere")),
        "{:?}",
        house.fake.asked()
    );
}

#[tokio::test]
async fn a_provider_that_hangs_is_answered_within_ten_seconds() {
    let house = House::build().await;
    let token = house.token("ann").await;
    house.fake.does(|_| Does::Hang);
    let started = Instant::now();
    let problem = house
        .call(PUT, &token, &key(PLANTED))
        .await
        .is(504, "provider_timeout");
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(problem["retryable"], true);
}

#[tokio::test]
async fn a_provider_that_cuts_or_is_not_there_is_unreachable() {
    let house = House::build().await;
    let token = house.token("ann").await;
    house.fake.does(|_| Does::Cut);
    house
        .call(PUT, &token, &key(PLANTED))
        .await
        .is(502, "provider_unreachable");

    let nobody =
        House::over(|providers| led_to(providers, "elevenlabs", |_| "http://127.0.0.1:1".to_owned())).await;
    let token = nobody.token("ann").await;
    nobody
        .call(PUT, &token, &key(PLANTED))
        .await
        .is(502, "provider_unreachable");
}

#[tokio::test]
async fn a_real_key_with_a_restriction_is_stored_with_the_reason() {
    let house = House::build().await;
    let token = house.token("ann").await;
    house.fake.says(401, "", LACKS_MODELS_READ);
    let credential = house.call(PUT, &token, &key(PLANTED)).await.ok();
    assert_eq!(
        (&credential["status"], &credential["status_reason"]),
        (&json!("valid"), &json!("credential_restricted"))
    );
    assert!(
        credential["status_detail"]
            .as_str()
            .is_some_and(|text| text.contains("models_read")),
        "{credential}"
    );
    assert!(
        credential["models"]
            .as_array()
            .is_some_and(|models| !models.is_empty()),
        "{credential}"
    );

    house.fake.says(
        401,
        "",
        r#"{"detail":{"status":"quota_exceeded","message":"no credits"}}"#,
    );
    let credential = house.call(PUT, &token, &key(PLANTED)).await.ok();
    assert_eq!(credential["status_reason"], "provider_quota_exceeded");
}

#[tokio::test]
async fn a_restriction_that_stops_everything_is_refused() {
    let house = House::build().await;
    let token = house.token("ann").await;
    let disabled = r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"disabled","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED"}]}}"#;
    let denied = r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"denied"}}"#;
    let mute = r#"{"detail":{"status":"missing_permissions","message":"The API key you used is missing the permission text_to_speech to execute this operation."}}"#;
    let table = [
        ("gemini", 403, disabled, "not turned on"),
        ("gemini", 403, denied, "may not do this"),
        ("azure", 403, "", "do not allow this"),
        ("elevenlabs", 401, mute, "text_to_speech"),
    ];
    for (provider, status, body, says) in table {
        house.fake.says(status, "", body);
        let settings = if provider == "azure" {
            json!({"region": "eastus"})
        } else {
            json!({})
        };
        let sent = json!({"api_key": PLANTED, "settings": settings}).to_string();
        let line = format!("/api/v1/credentials/{provider}");
        let said = house.call(&format!("PUT {line}"), &token, &sent).await;
        let problem = said.is(422, "insufficient_permissions");
        assert!(
            problem["detail"].as_str().is_some_and(|text| text.contains(says)),
            "{problem}"
        );
        house
            .call(&format!("GET {line}"), &token, "")
            .await
            .is(404, "not_found");
    }
}

#[tokio::test]
async fn a_key_of_impossible_shape_is_refused_before_anyone_is_asked() {
    let house = House::build().await;
    let token = house.token("ann").await;
    let long = key(&"k".repeat(4097));
    let table = [
        "{}",
        r#"{"api_key":""}"#,
        r#"{"api_key":"  "}"#,
        r#"{"api_key":"a\nb"}"#,
        r#"{"api_key":"schlüssel"}"#,
        &long,
    ];
    for body in table {
        assert_eq!(
            house.call(PUT, &token, body).await.is(400, "invalid_request")["param"],
            "api_key",
            "{body}"
        );
    }
    let unknown = house.call(PUT, &token, r#"{"api_key":"k","apikey":"k"}"#).await;
    assert_eq!(unknown.is(400, "invalid_request")["param"], "apikey");
    assert!(house.fake.asked().is_empty());
}

#[tokio::test]
async fn settings_are_checked_and_named() {
    let house = House::build().await;
    let token = house.token("ann").await;
    for region in ["evil.test/", "eastus#", "a@b", "EASTUS", "eastus.", "ｅastus", ""] {
        let body = json!({"api_key": PLANTED, "settings": {"region": region}}).to_string();
        let said = house.call("PUT /api/v1/credentials/azure", &token, &body).await;
        assert_eq!(said.is(422, "invalid_settings")["param"], "region", "{region}");
    }
    for value in ["null", "5", "true", r#"["eastus"]"#, r#"{"a":"b"}"#] {
        let body = format!(r#"{{"api_key":"k","settings":{{"region":{value}}}}}"#);
        let said = house.call("PUT /api/v1/credentials/azure", &token, &body).await;
        assert_eq!(said.is(422, "invalid_settings")["param"], "region", "{value}");
    }
    let said = house
        .call(PUT, &token, r#"{"api_key":"k","settings":{"nonsense":"x"}}"#)
        .await;
    assert_eq!(said.is(422, "invalid_settings")["param"], "nonsense");
    assert!(house.fake.asked().is_empty());
}

#[tokio::test]
async fn a_region_whose_host_does_not_resolve_is_a_setting_that_is_wrong() {
    let nowhere = |host: &str| format!("http://{{region}}.{host}.invalid");
    let house = House::over(|providers| led_to(providers, "azure", nowhere)).await;
    let token = house.token("ann").await;
    let body = |region: &str| json!({"api_key": PLANTED, "settings": {"region": region}}).to_string();
    let said = house
        .call("PUT /api/v1/credentials/azure", &token, &body("nowhere"))
        .await;
    assert_eq!(said.is(422, "invalid_settings")["param"], "region");
    let said = house
        .call("PUT /api/v1/credentials/azure", &token, &body("eastus"))
        .await;
    said.is(502, "provider_unreachable");
}

#[tokio::test]
async fn a_team_s_key_is_for_its_admins_to_bring() {
    let house = House::build().await;
    house.fake.takes_the_planted_key();
    let line = "PUT /api/v1/credentials/elevenlabs?owner=team:red";
    let (admin, member, other) = (
        house.member("ann", "red", true).await,
        house.member("bob", "red", false).await,
        house.token("eve").await,
    );
    for token in [&member, &other] {
        assert_eq!(
            house.call(line, token, &key(PLANTED)).await.is(403, "forbidden")["param"],
            "owner"
        );
    }
    assert!(house.fake.asked().is_empty());
    let said = house.call(line, &admin, &key(PLANTED)).await;
    assert_eq!(
        (said.status.as_u16(), &said.json()["owner"]),
        (201, &json!("team:red"))
    );
    assert_eq!(
        said.headers["location"],
        "/api/v1/credentials/elevenlabs?owner=team%3Ared"
    );
    let read = "GET /api/v1/credentials/elevenlabs?owner=team:red";
    house.call(read, &member, "").await.ok();
    house.call(read, &other, "").await.is(403, "forbidden");
    house.call(READ, &member, "").await.is(404, "not_found");
    for (owner, status, code) in [
        ("user:eve", 403, "forbidden"),
        ("system:", 400, "invalid_request"),
        ("red", 400, "invalid_request"),
    ] {
        house
            .call(&format!("GET /api/v1/credentials?owner={owner}"), &admin, "")
            .await
            .is(status, code);
    }
}

#[tokio::test]
async fn the_key_goes_in_its_one_place_with_nothing_of_the_caller_s() {
    let house = House::build().await;
    let token = house.token("ann").await;
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = seen.clone();
    house.fake.does(move |asked: &Asked| {
        into.lock()
            .expect("not poisoned")
            .push(format!("{} {:?}", asked.line, asked.headers));
        Does::Answer(200, "", MODELS.to_owned())
    });
    house.call(PUT, &token, &key(PLANTED)).await.ok();
    let seen = seen.lock().expect("not poisoned").clone();
    assert_eq!(seen.len(), 1, "the probe lists the models already: {seen:?}");
    assert_eq!(seen[0].matches(PLANTED).count(), 1, "{seen:?}");
    assert!(
        !seen[0].contains(&token) && !seen[0].contains("authorization"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn validations_are_counted_by_outcome() {
    let house = House::build().await;
    let token = house.token("ann").await;
    house.store(&token).await;
    house.fake.says(401, "", WRONG_KEY);
    house
        .call(PUT, &token, &key("another-key-0000"))
        .await
        .is(422, "invalid_api_key");
    let metrics = house.call("GET /metrics", "", "").await.text;
    for outcome in ["valid", "invalid"] {
        let line = format!(
            "voxgate_credential_validations_total{{outcome=\"{outcome}\",provider=\"elevenlabs\"}} 1"
        );
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn each_provider_says_it_in_its_own_way() {
    let house = House::build().await;
    let token = house.token("ann").await;
    let azure = json!({"api_key": PLANTED, "settings": {"region": "eastus"}}).to_string();
    let gemini = key(PLANTED);
    let wrong_gemini = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;

    house.fake.says(401, "", "");
    let problem = house
        .call("PUT /api/v1/credentials/azure", &token, &azure)
        .await
        .is(422, "invalid_api_key");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("region"),
        "a wrong region looks the same: {detail}"
    );
    house.fake.says(200, "", "[]");
    let stored = house
        .call("PUT /api/v1/credentials/azure", &token, &azure)
        .await
        .ok();
    assert_eq!(stored["settings"], json!({"region": "eastus"}));
    assert!(
        stored["models"]
            .as_array()
            .is_some_and(|models| !models.is_empty()),
        "{stored}"
    );

    house.fake.says(400, "", wrong_gemini);
    house
        .call("PUT /api/v1/credentials/gemini", &token, &gemini)
        .await
        .is(422, "invalid_api_key");
    house.fake.says(
        200,
        "",
        r#"{"models":[{"name":"models/gemini-2.5-flash-preview-tts","displayName":"Flash TTS"}]}"#,
    );
    let stored = house
        .call("PUT /api/v1/credentials/gemini", &token, &gemini)
        .await
        .ok();
    let models = stored["models"].as_array().expect("models");
    assert!(
        models
            .iter()
            .any(|model| model["id"] == "gemini-2.5-flash-preview-tts"),
        "{stored}"
    );
}
