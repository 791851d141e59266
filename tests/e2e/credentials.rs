//! Keys of one's own: confirmed by the provider before they are stored, changed and removed at once, never shown.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::fakes::{Behaviour, Canned, azure, elevenlabs, gemini};
use crate::harness::calls;
use crate::harness::config::{path_value, secret, set};
use crate::harness::{Database, World, on_both_databases};

on_both_databases!(
    a_key_is_stored_replaced_and_removed,
    the_system_key_serves_those_without_their_own
);

async fn a_key_is_stored_replaced_and_removed(database: Database) {
    let world = World::start(database).await;
    let user = world.user("ann").await;
    for call in calls::speech_of_each() {
        let provider = call.provider;
        let path = format!("/api/v1/credentials/{provider}");
        world
            .ask_admin(&user, Method::GET, &path, None)
            .await
            .problem(404, "not_found");
        // Asked before there is a key, so that an answer "there is none" is in every cache.
        call.through(&world, &user)
            .await
            .refused(424, "credential_missing");

        let first = world.key(provider);
        let stored = world.put_key(&user, provider, &first).await;
        assert_eq!(stored.status, 201, "{}", stored.text());
        let stored = stored.json();
        assert_eq!(
            (&stored["provider"], &stored["status"]),
            (&json!(provider), &json!("valid"))
        );
        assert_eq!(stored["status_reason"], Value::Null);
        let last_four = &first[first.len() - 4..];
        assert!(
            stored["masked_key"]
                .as_str()
                .is_some_and(|masked| masked.ends_with(last_four)),
            "{stored}"
        );
        assert!(
            stored["models"]
                .as_array()
                .is_some_and(|models| !models.is_empty()),
            "{stored}"
        );
        assert!(stored["last_validated_at"].is_string(), "{stored}");
        call.through(&world, &user).await.succeeded();
        assert!(!call.fake(&world).calls_with(&first).is_empty());

        let second = world.key(provider);
        assert_eq!(world.put_key(&user, provider, &second).await.status, 200);
        let calls_with_first = call.fake(&world).calls_with(&first).len();
        let before = call.fake(&world).calls_with(&second).len();
        call.through(&world, &user).await.succeeded();
        assert_eq!(
            call.fake(&world).calls_with(&second).len(),
            before + 1,
            "the very next call uses the new key"
        );
        assert_eq!(call.fake(&world).calls_with(&first).len(), calls_with_first);

        let read = world.read(&user, &path).await;
        assert!(
            read.get("models").is_none() && read.get("api_key").is_none(),
            "{read}"
        );
        let again = world
            .ask_admin(&user, Method::POST, &format!("{path}/validate"), None)
            .await
            .succeeded();
        assert_eq!(again.json()["status"], "valid");
        world
            .fakes
            .of(provider)
            .iter()
            .for_each(|fake| fake.forget(&second));
        let dead = world
            .ask_admin(&user, Method::POST, &format!("{path}/validate"), None)
            .await
            .succeeded();
        assert_eq!(
            dead.json()["status"],
            "invalid",
            "a key that died since is found out"
        );
        assert_eq!(world.read(&user, &path).await["status"], "invalid");

        assert_eq!(
            world.ask_admin(&user, Method::DELETE, &path, None).await.status,
            204
        );
        call.through(&world, &user)
            .await
            .refused(424, "credential_missing");
        world
            .ask_admin(&user, Method::DELETE, &path, None)
            .await
            .problem(404, "not_found");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_provider_does_not_confirm_is_not_stored() {
    let refusals: [(&str, Behaviour, u16, &str); 12] = [
        (
            "elevenlabs",
            Behaviour::Refuse(elevenlabs::refuse_key()),
            422,
            "invalid_api_key",
        ),
        (
            "elevenlabs",
            Behaviour::Refuse(elevenlabs::too_many_requests()),
            429,
            "provider_rate_limited",
        ),
        (
            "elevenlabs",
            Behaviour::Refuse(elevenlabs::system_busy()),
            502,
            "provider_error",
        ),
        (
            "elevenlabs",
            Behaviour::Refuse(Canned::html(500)),
            502,
            "provider_error",
        ),
        (
            "elevenlabs",
            Behaviour::CutBeforeHead,
            502,
            "provider_unreachable",
        ),
        (
            "elevenlabs",
            Behaviour::Redirect("https://elsewhere.example.com/".to_owned()),
            502,
            "provider_error",
        ),
        (
            "azure",
            Behaviour::Refuse(azure::refuse_key(crate::fakes::Kind::AzureTts)),
            422,
            "invalid_api_key",
        ),
        (
            "azure",
            Behaviour::Refuse(azure::too_many_requests()),
            429,
            "provider_rate_limited",
        ),
        (
            "gemini",
            Behaviour::Refuse(gemini::unknown_key()),
            422,
            "invalid_api_key",
        ),
        (
            "gemini",
            Behaviour::Refuse(gemini::leaked_key()),
            422,
            "invalid_api_key",
        ),
        (
            "gemini",
            Behaviour::Refuse(gemini::service_disabled()),
            422,
            "insufficient_permissions",
        ),
        (
            "gemini",
            Behaviour::Refuse(gemini::per_minute_limit()),
            429,
            "provider_rate_limited",
        ),
    ];
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    for (provider, behaviour, status, code) in refusals {
        let good = world.stored_key(&user, provider).await;
        let before = world
            .read(&user, &format!("/api/v1/credentials/{provider}"))
            .await;
        let bad = world.key(provider);
        world
            .fakes
            .of(provider)
            .iter()
            .for_each(|fake| fake.treat(&bad, behaviour.clone()));
        let answer = world.put_key(&user, provider, &bad).await.problem(status, code);
        let problem = answer.json();
        assert_eq!(problem["retryable"], status == 429 || status >= 500, "{problem}");
        if status == 429 && provider != "elevenlabs" {
            assert!(
                problem["retry_after"].as_u64().is_some_and(|seconds| seconds > 0),
                "{problem}"
            );
        }
        assert_eq!(
            world
                .read(&user, &format!("/api/v1/credentials/{provider}"))
                .await,
            before
        );
        let call = calls::speech_of_each()
            .into_iter()
            .find(|call| call.provider == provider)
            .expect("one of each");
        call.through(&world, &user).await.succeeded();
        assert!(!call.fake(&world).calls_with(&good).is_empty());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validation_answers_within_ten_seconds_whatever_the_provider_does() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    for behaviour in [Behaviour::StallBeforeHead, Behaviour::StallAfter(10)] {
        let key = world.key("elevenlabs");
        world.fakes.elevenlabs.treat(&key, behaviour);
        let asked = Instant::now();
        world
            .put_key(&user, "elevenlabs", &key)
            .await
            .problem(504, "provider_timeout");
        assert!(asked.elapsed() < Duration::from_secs(10));
    }
    world
        .ask_admin(&user, Method::GET, "/api/v1/credentials/elevenlabs", None)
        .await
        .problem(404, "not_found");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_not_list_models_is_still_a_key() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.key("elevenlabs");
    world.fakes.elevenlabs.treat(
        &key,
        Behaviour::Refuse(elevenlabs::missing_permission("models_read")),
    );
    let stored = world.put_key(&user, "elevenlabs", &key).await;
    assert_eq!(stored.status, 201, "{}", stored.text());
    let stored = stored.json();
    assert_eq!(
        (&stored["status"], &stored["status_reason"]),
        (&json!("valid"), &json!("credential_restricted"))
    );
    assert!(
        stored["status_detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("models_read")),
        "{stored}"
    );
    world.fakes.elevenlabs.treat(&key, Behaviour::Normal);
    calls::elevenlabs_tts("allowed")
        .through(&world, &user)
        .await
        .succeeded();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_could_lead_a_key_elsewhere_are_refused() {
    let world = World::configured(Database::Sqlite, |config, _| {
        // Hosts with the hole that a region fills, which is how the descriptor names them.
        set(
            config,
            "providers.azure.hosts.tts",
            "https://{region}.tts.example.invalid",
        );
    })
    .await;
    let user = world.user("ann").await;
    let key = world.key("azure");
    let long = "a".repeat(64);
    let crooked = [
        "eastus/",
        "eastus#",
        "me@evil",
        "eastus:80",
        "east.us",
        "EastUS",
        "\u{435}astus",
        "",
        " ",
        "-eastus",
        "..",
        "%2e",
        &long,
        "east us",
        "eastus\n",
    ];
    for region in crooked {
        let body = json!({"api_key": key, "settings": {"region": region}});
        let answer = world
            .ask_admin(&user, Method::PUT, "/api/v1/credentials/azure", Some(body))
            .await;
        assert_eq!(answer.status, 422, "{region:?}: {}", answer.text());
        let problem = answer.problem(422, "invalid_settings").json();
        assert!(problem.to_string().contains("region"), "{problem}");
    }
    for settings in [json!({}), json!({"region": "eastus", "rigeon": "x"})] {
        let body = json!({"api_key": key, "settings": settings});
        let answer = world
            .ask_admin(&user, Method::PUT, "/api/v1/credentials/azure", Some(body))
            .await;
        answer.problem(422, "invalid_settings");
    }
    // A region that nobody runs: its host does not resolve.
    let body = json!({"api_key": key, "settings": {"region": "nowhere"}});
    world
        .ask_admin(&user, Method::PUT, "/api/v1/credentials/azure", Some(body))
        .await
        .problem(422, "invalid_settings");
    assert!(world.fakes.azure_tts.calls_with(&key).is_empty());
    world.end().await;
}

async fn the_system_key_serves_those_without_their_own(database: Database) {
    let system = secret("system");
    let world = World::configured(database, |config, _| {
        set(config, "providers.elevenlabs.api_key", system.as_str())
    })
    .await;
    world.planted.plant("the system's key", &system);
    world.fakes.elevenlabs.treat(&system, Behaviour::Normal);
    let user = world.user("ann").await;
    let call = calls::elevenlabs_tts("who pays");
    let answer = call.through(&world, &user).await.succeeded();
    assert_eq!(answer.header("x-voxgate-credential"), Some("system"));
    assert_eq!(world.usage(&user, 1).await[0]["credential_source"], "system");

    let own = world.stored_key(&user, "elevenlabs").await;
    let answer = call.through(&world, &user).await.succeeded();
    assert_eq!(answer.header("x-voxgate-credential"), Some("user"));

    // A key of one's own that died is not silently replaced: someone else would pay.
    world.fakes.elevenlabs.forget(&own);
    let paid = world.fakes.elevenlabs.calls_with(&system).len();
    for _ in 0..2 {
        call.through(&world, &user)
            .await
            .refused(401, "credential_invalid");
    }
    assert_eq!(world.fakes.elevenlabs.calls_with(&system).len(), paid);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_keys_come_from_files_and_with_settings() {
    let keys = [secret("system"), secret("system")];
    let world = World::configured(Database::Sqlite, |config, folder| {
        let file = folder.join("gateway.pem");
        std::fs::write(&file, format!("{}\n", keys[0])).expect("write the key");
        set(config, "providers.gemini.api_key_file", path_value(&file));
        set(config, "providers.azure.api_key", keys[1].as_str());
        set(config, "providers.azure.settings.region", "westeurope");
    })
    .await;
    let user = world.user("ann").await;
    for (call, key) in [
        (calls::gemini_tts("x"), &keys[0]),
        (calls::azure_tts("x"), &keys[1]),
    ] {
        world.planted.plant("a system key", key);
        world
            .fakes
            .of(call.provider)
            .iter()
            .for_each(|fake| fake.treat(key, Behaviour::Normal));
        let answer = call.through(&world, &user).await.succeeded();
        assert_eq!(answer.header("x-voxgate-credential"), Some("system"));
    }
    let providers = world.read(&user, "/api/v1/providers").await;
    for provider in providers["items"].as_array().unwrap() {
        assert_eq!(
            provider["system_credential"],
            provider["id"] == "azure" || provider["id"] == "gemini",
            "{provider}"
        );
        assert_eq!(provider["credential"], Value::Null, "{provider}");
    }
    world.end().await;
}

/// A provider is a file: one more needs no code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_provider_comes_from_a_file() {
    let world = World::configured(Database::Sqlite, |config, folder| {
        let known = include_str!("../../config/providers/elevenlabs.toml");
        let another = known.replacen("id = \"elevenlabs\"", "id = \"mirror\"", 1);
        assert_ne!(known, another);
        let file = folder.join("mirror.toml");
        std::fs::write(&file, another).expect("write the descriptor");
        set(
            config,
            "providers.extra",
            vec![path_value(&folder.join("*.provider.toml")), path_value(&file)],
        );
        let host = config["providers"]["elevenlabs"]["hosts"]["api"].clone();
        set(config, "providers.mirror.hosts.api", host);
    })
    .await;
    let user = world.user("ann").await;
    let key = world.key("elevenlabs");
    assert_eq!(world.put_key(&user, "mirror", &key).await.status, 201);
    let url = world.gateway(&format!("/mirror{}", calls::elevenlabs_models().path));
    let answer = world
        .send(world.http.get(url).header("xi-api-key", &user.token))
        .await
        .succeeded();
    assert_eq!(answer.header("x-voxgate-provider"), Some("mirror"));
    calls::elevenlabs_models()
        .through(&world, &user)
        .await
        .refused(424, "credential_missing");
    world.end().await;
}
