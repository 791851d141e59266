//! What is recorded: every call and every refusal, with what the contract names and nothing of what was said.

use http::Method;
use serde_json::{Value, json};

use crate::fakes::{Behaviour, audio, elevenlabs, gemini};
use crate::harness::calls::{self, Native};
use crate::harness::{Database, World, on_both_databases};

on_both_databases!(
    every_call_is_one_usage_record,
    every_change_and_refusal_is_audited,
    usage_is_summarised_and_paged
);

const USAGE_FIELDS: &[&str] = &[
    "at",
    "user",
    "token_id",
    "provider",
    "model",
    "operation",
    "mode",
    "credential_id",
    "credential_source",
    "status",
    "outcome",
    "bytes_in",
    "bytes_out",
    "characters",
    "audio_seconds",
    "estimated_cost",
    "ttfb_ms",
    "duration_ms",
    "attempt",
    "request_id",
    "provider_request_id",
    "messages_in",
    "messages_out",
    "audio_seconds_in",
    "audio_seconds_out",
    "close_code",
    "closed_by",
];
const AUDIT_FIELDS: &[&str] = &[
    "at",
    "user",
    "action",
    "outcome",
    "owner",
    "provider",
    "ip",
    "request_id",
    "detail",
];
const WORDS: &str = "unrepeatable words of the user";

#[track_caller]
fn has_fields(record: &Value, fields: &[&str]) {
    let missing: Vec<&&str> = fields
        .iter()
        .filter(|field| record.get(**field).is_none())
        .collect();
    assert!(missing.is_empty(), "{missing:?} missing in {record}");
}

/// What a call is to be recorded as.
struct Expected {
    call: Native,
    model: Option<&'static str>,
    operation: &'static str,
    characters: Option<usize>,
    audio_seconds: Option<f64>,
    costs: bool,
}

fn expectations() -> Vec<Expected> {
    let recording = audio::recording("record", 4_000);
    let letters = WORDS.chars().count();
    let speech = |call, model, characters| Expected {
        call,
        model,
        operation: "tts",
        characters,
        audio_seconds: None,
        costs: true,
    };
    let listening = |call, model, seconds| Expected {
        call,
        model,
        operation: "stt",
        characters: None,
        audio_seconds: seconds,
        costs: true,
    };
    vec![
        speech(
            calls::elevenlabs_tts(WORDS),
            Some("eleven_multilingual_v2"),
            Some(letters),
        ),
        speech(
            calls::elevenlabs_stream(WORDS),
            Some("eleven_flash_v2_5"),
            Some(letters),
        ),
        listening(calls::elevenlabs_stt(&recording), Some("scribe_v2"), Some(1.5)),
        speech(calls::azure_tts(WORDS), None, Some(letters)),
        listening(calls::azure_short_audio(&recording), None, Some(1.5)),
        listening(calls::azure_transcription(&recording), None, Some(1.5)),
        speech(calls::gemini_tts(WORDS), Some(gemini::TTS), Some(letters)),
        speech(calls::gemini_stream(WORDS), Some(gemini::TTS), Some(letters)),
        listening(calls::gemini_stt(&recording), Some(gemini::STT), None),
        Expected {
            call: calls::elevenlabs_models(),
            model: None,
            operation: "lookup",
            characters: None,
            audio_seconds: None,
            costs: false,
        },
    ]
}

async fn every_call_is_one_usage_record(database: Database) {
    let world = World::start(database).await;
    let expectations = expectations();
    for (number, expected) in expectations.iter().enumerate() {
        let user = world.user(&format!("user-{number}")).await;
        world.stored_key(&user, expected.call.provider).await;
        let answer = expected.call.through(&world, &user).await.succeeded();
        let record = &world.usage(&user, 1).await[0];
        has_fields(record, USAGE_FIELDS);
        let name = &expected.call.path;
        assert_eq!(record["user"], user.name, "{name}");
        assert_eq!(record["provider"], expected.call.provider, "{name}");
        assert_eq!(record["operation"], expected.operation, "{name}");
        assert_eq!(
            (&record["mode"], &record["outcome"]),
            (&json!("native"), &json!("ok")),
            "{name}: {record}"
        );
        assert_eq!(
            (&record["status"], &record["attempt"]),
            (&json!(200), &json!(1)),
            "{name}: {record}"
        );
        assert_eq!(record["credential_source"], "user", "{name}");
        assert!(
            record["credential_id"].is_string() && record["token_id"].is_string(),
            "{name}: {record}"
        );
        assert_eq!(
            record["request_id"].as_str(),
            answer.header("x-voxgate-request-id"),
            "{name}"
        );
        assert_eq!(
            record["bytes_in"].as_u64(),
            Some(expected.call.body.len() as u64),
            "{name}"
        );
        assert_eq!(
            record["bytes_out"].as_u64(),
            Some(answer.body.len() as u64),
            "{name}"
        );
        if expected.model.is_some() {
            assert_eq!(record["model"].as_str(), expected.model, "{name}: {record}");
        }
        assert_eq!(
            record["characters"].as_u64(),
            expected.characters.map(|n| n as u64),
            "{name}: {record}"
        );
        if expected.audio_seconds.is_some() {
            assert_eq!(
                record["audio_seconds"].as_f64(),
                expected.audio_seconds,
                "{name}: {record}"
            );
        }
        if expected.costs {
            assert!(
                record["estimated_cost"].as_f64().is_some_and(|cost| cost > 0.0),
                "{name}: {record}"
            );
        }
        let (first, whole) = (record["ttfb_ms"].as_u64(), record["duration_ms"].as_u64());
        assert!(first.is_some() && first <= whole, "{name}: {record}");
        if let Some(id) = answer.header("request-id") {
            assert_eq!(record["provider_request_id"], id, "{name}");
        }
        assert!(!record.to_string().contains("unrepeatable"), "{record}");
    }
    world.planted.plant("the user's words", WORDS);
    world.end().await;
}

async fn every_change_and_refusal_is_audited(database: Database) {
    let world = World::start(database).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.put_key(&user, "elevenlabs", &key).await.succeeded();
    world.read(&user, "/api/v1/credentials/elevenlabs").await;
    world
        .ask_admin(
            &user,
            Method::POST,
            "/api/v1/credentials/elevenlabs/validate",
            None,
        )
        .await
        .succeeded();
    let bad = world.key("elevenlabs");
    world.fakes.elevenlabs.forget(&bad);
    world
        .put_key(&user, "elevenlabs", &bad)
        .await
        .problem(422, "invalid_api_key");
    let selection =
        json!({"provider": "elevenlabs", "model": null, "voice": elevenlabs::VOICE, "fallbacks": []});
    world
        .ask_admin(&user, Method::PUT, "/api/v1/selections/tts", Some(selection))
        .await
        .succeeded();
    world
        .ask_admin(&user, Method::DELETE, "/api/v1/selections/tts", None)
        .await
        .succeeded();
    let request = world
        .http
        .get(world.gateway("/elevenlabs/v1/user"))
        .bearer_auth(&user.token);
    let refused = world.send(request).await.refused(403, "forbidden_endpoint");
    world
        .ask_admin(&user, Method::DELETE, "/api/v1/credentials/elevenlabs", None)
        .await
        .succeeded();

    for (action, outcome, count) in [
        ("credential.create", "ok", 1),
        ("credential.update", "ok", 1),
        ("credential.read", "ok", 1),
        ("selection.create", "ok", 1),
        ("selection.delete", "ok", 1),
        ("credential.delete", "ok", 1),
        ("call.refuse", "refused", 1),
    ] {
        let records = world
            .records(&user, &format!("/api/v1/audit?action={action}"), count)
            .await;
        for record in &records {
            has_fields(record, AUDIT_FIELDS);
            assert_eq!(
                (&record["action"], &record["outcome"]),
                (&json!(action), &json!(outcome)),
                "{record}"
            );
            assert_eq!(record["user"], "ann", "{record}");
            assert_eq!(record["ip"], "127.0.0.1", "{record}");
        }
        if action == "call.refuse" {
            assert_eq!(
                records[0]["request_id"].as_str(),
                refused.header("x-voxgate-request-id")
            );
        }
    }
    // The one asked for, and the one that failed before anything was stored.
    let validations = world.read(&user, "/api/v1/audit?limit=200").await;
    let failed = validations["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["outcome"] == "refused");
    assert!(
        failed.clone().any(|record| record["action"] != "call.refuse"),
        "{validations}"
    );
    world.end().await;
}

async fn usage_is_summarised_and_paged(database: Database) {
    let world = World::start(database).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.stored_key(&user, "gemini").await;
    for number in 0..7 {
        calls::elevenlabs_tts(&format!("number {number}"))
            .through(&world, &user)
            .await
            .succeeded();
    }
    calls::gemini_tts("one").through(&world, &user).await.succeeded();
    world
        .fakes
        .elevenlabs
        .treat(&key, Behaviour::Refuse(elevenlabs::system_busy()));
    calls::elevenlabs_tts("busy").through(&world, &user).await;
    world.usage(&user, 9).await;

    let mut seen = Vec::new();
    let mut path = "/api/v1/usage?limit=4".to_owned();
    loop {
        let page = world.read(&user, &path).await;
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["request_id"].to_string()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/usage?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 9);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 9, "no record comes twice");

    let only = world.read(&user, "/api/v1/usage?provider=gemini").await;
    assert_eq!(only["items"].as_array().map(Vec::len), Some(1));
    let later = world.read(&user, "/api/v1/usage?from=2100-01-01T00:00:00Z").await;
    assert_eq!(later["items"].as_array().map(Vec::len), Some(0));
    world
        .ask_admin(&user, Method::GET, "/api/v1/usage?from=yesterday", None)
        .await
        .problem(400, "invalid_request");

    let summary = world
        .read(&user, "/api/v1/usage/summary?group_by=day,provider,model")
        .await;
    let groups = summary["items"].as_array().expect("groups");
    let of = |provider: &str| {
        groups
            .iter()
            .find(|group| group["provider"] == provider)
            .expect("a group")
    };
    assert_eq!(groups.len(), 2, "{summary}");
    assert_eq!(of("elevenlabs")["calls"], 8, "{summary}");
    assert_eq!(of("elevenlabs")["errors"], 1, "{summary}");
    assert_eq!(of("gemini")["model"], gemini::TTS, "{summary}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_what_happened() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    calls::elevenlabs_tts("counted")
        .through(&world, &user)
        .await
        .succeeded();
    world.usage(&user, 1).await;
    let metrics = world
        .send(world.http.get(world.admin("/metrics")))
        .await
        .succeeded()
        .text();
    for name in [
        "voxgate_requests_total",
        "voxgate_request_duration_seconds",
        "voxgate_time_to_first_byte_seconds",
        "voxgate_gateway_overhead_seconds",
        "voxgate_characters_total",
        "voxgate_cache_events_total",
        "voxgate_credential_validations_total",
        "voxgate_usage_journal_bytes",
        "voxgate_usage_events_total",
        "voxgate_database_up",
        "voxgate_active_streams",
    ] {
        assert!(metrics.contains(name), "{name} is missing");
    }
    let counted = metrics.lines().any(|line| {
        line.starts_with("voxgate_requests_total{")
            && [
                r#"provider="elevenlabs""#,
                r#"operation="tts""#,
                r#"mode="native""#,
                r#"outcome="ok""#,
                r#"credential="user""#,
            ]
            .iter()
            .all(|label| line.contains(label))
            && line.ends_with(" 1")
    });
    assert!(counted, "{metrics}");
    assert!(metrics.contains("voxgate_database_up 1"));
    world.end().await;
}
