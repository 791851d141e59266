//! Who serves a call of `/v1`: the selection of this moment, or whom the caller names; what can be called; what is
//! recorded of it.

use http::Method;
use serde_json::{Value, json};

use crate::fakes::schema::Spec;
use crate::harness::unified::{AZURE, ELEVENLABS, GEMINI, PROVIDERS, WORDS, default_speech};
use crate::harness::{Database, World, on_both_databases};

on_both_databases!(a_new_selection_serves_the_next_call);

async fn a_new_selection_serves_the_next_call(database: Database) {
    let world = World::with_fakes(database, crate::fakes::Fakes::strict().await, |_, _| {}).await;
    let user = world.equipped_user("ann").await;
    for provider in [AZURE, GEMINI, ELEVENLABS, AZURE] {
        world.select(&user, "tts", provider.speaking(), &[]).await;
        let answer = world.speak(&user, &default_speech()).await.succeeded();
        assert_eq!(answer.header("x-voxgate-provider"), Some(provider.id));
        world.select(&user, "stt", provider.listening(), &[]).await;
        let answer = world.transcribe(&user, "whisper-1", &[]).await.succeeded();
        assert_eq!(answer.header("x-voxgate-provider"), Some(provider.id));
    }
    world
        .ask_admin(&user, Method::DELETE, "/api/v1/selections/tts", None)
        .await
        .succeeded();
    world
        .speak(&user, &default_speech())
        .await
        .refused(424, "selection_missing");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_may_name_another_for_one_call() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    world.select(&user, "tts", AZURE.speaking(), &[]).await;
    let body = json!({"model": ELEVENLABS.speech_model(), "voice": "default", "input": WORDS});
    let answer = world.speak(&user, &body).await.succeeded();
    assert_eq!(answer.header("x-voxgate-provider"), Some("elevenlabs"));
    let answer = world.speak(&user, &default_speech()).await.succeeded();
    assert_eq!(answer.header("x-voxgate-provider"), Some("azure"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selection_that_cannot_work_is_not_made() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    for selection in [
        json!({"provider": "nobody", "model": null, "voice": null, "fallbacks": []}),
        json!({"provider": "elevenlabs", "model": "scribe_v2", "voice": null, "fallbacks": []}),
        json!({"provider": "azure", "model": "neural", "voice": "en-US-NobodyNeural", "fallbacks": []}),
        json!({"provider": "azure", "model": "neural", "voice": null, "fallbacks": [{"provider": "nobody"}]}),
    ] {
        let answer = world
            .ask_admin(
                &user,
                Method::PUT,
                "/api/v1/selections/tts",
                Some(selection.clone()),
            )
            .await;
        assert!(answer.status.is_client_error(), "{selection}: {}", answer.text());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_models_are_what_the_user_can_call_now() {
    let world = World::unified().await;
    let user = world.user("ann").await;
    let list = async || {
        let request = world
            .http
            .get(world.gateway("/v1/models"))
            .bearer_auth(&user.token);
        let body = world.send(request).await.succeeded().json();
        assert_eq!(Spec::OpenAi.refuses("ListModelsResponse", &body), None, "{body}");
        let ids = body["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|model| model["id"].as_str().unwrap_or("").to_owned());
        ids.collect::<Vec<String>>()
    };
    assert!(
        list().await.iter().all(|id| !id.contains('/')),
        "no key, no model"
    );
    for provider in PROVIDERS {
        world.stored_key(&user, provider.id).await;
        let ids = list().await;
        assert!(ids.contains(&"default".to_owned()), "{ids:?}");
        for id in [provider.speech_model(), provider.transcript_model()] {
            assert!(ids.contains(&id), "{id} is missing in {ids:?}");
            let request = world
                .http
                .get(world.gateway(&format!("/v1/models/{id}")))
                .bearer_auth(&user.token);
            let model = world.send(request).await.succeeded().json();
            assert_eq!(Spec::OpenAi.refuses("Model", &model), None, "{model}");
            assert_eq!(model["id"], id);
        }
    }
    let request = world
        .http
        .get(world.gateway("/v1/models/azure/nothing"))
        .bearer_auth(&user.token);
    world.send(request).await.refused(404, "not_found");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_one_usage_record() {
    let world = World::unified().await;
    for provider in PROVIDERS {
        let user = world.user(&format!("{}-user", provider.id)).await;
        world.stored_key(&user, provider.id).await;
        let spoken = world.speak(&user, &provider.speech("mp3")).await.succeeded();
        let heard = world
            .transcribe(&user, &provider.transcript_model(), &[])
            .await
            .succeeded();
        let usage = world.usage(&user, 2).await;
        let of = |operation: &str| {
            usage
                .iter()
                .find(|record| record["operation"] == operation)
                .expect("a record")
        };

        let speech = of("tts");
        checked(
            speech,
            provider.id,
            provider.speaks_with,
            spoken.header("x-voxgate-request-id"),
        );
        assert_eq!(
            speech["characters"].as_u64(),
            Some(WORDS.len() as u64),
            "{speech}"
        );
        // What the provider sent: the caller's audio, or events from which it was made.
        let sent = speech["bytes_out"].as_u64().expect("bytes");
        let came = spoken.body.len() as u64;
        if provider.id == "gemini" {
            assert!(sent > came, "{speech}");
        } else {
            assert_eq!(sent, came, "{speech}");
        }
        assert!(
            speech["audio_seconds"]
                .as_f64()
                .is_some_and(|seconds| (1.5..4.0).contains(&seconds)),
            "{speech}"
        );

        let listening = of("stt");
        checked(
            listening,
            provider.id,
            provider.listens_with,
            heard.header("x-voxgate-request-id"),
        );
        assert!(
            listening["audio_seconds"]
                .as_f64()
                .is_some_and(|seconds| (1.5..4.0).contains(&seconds)),
            "{listening}"
        );
    }
    world.end().await;
}

#[track_caller]
fn checked(record: &Value, provider: &str, model: &str, request_id: Option<&str>) {
    assert_eq!(
        (&record["provider"], &record["model"]),
        (&json!(provider), &json!(model)),
        "{record}"
    );
    assert_eq!(
        (&record["mode"], &record["outcome"]),
        (&json!("unified"), &json!("ok")),
        "{record}"
    );
    assert_eq!(
        (&record["status"], &record["attempt"]),
        (&json!(200), &json!(1)),
        "{record}"
    );
    assert_eq!(record["credential_source"], "user", "{record}");
    assert_eq!(record["request_id"].as_str(), request_id, "{record}");
    assert!(
        record["estimated_cost"].as_f64().is_some_and(|cost| cost > 0.0),
        "{record}"
    );
    assert!(
        record["ttfb_ms"].as_u64() <= record["duration_ms"].as_u64(),
        "{record}"
    );
    assert!(
        !record.to_string().to_lowercase().contains("two three"),
        "the words are not on record: {record}"
    );
}
