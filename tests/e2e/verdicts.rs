//! What a provider's refusal means: recognised from status and body, passed on as it is, and remembered of the key.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fakes::{Behaviour, Canned, azure, elevenlabs, gemini};
use crate::harness::calls::{self, Native};
use crate::harness::{Database, User, World, on_both_databases};

on_both_databases!(a_key_that_died_is_marked_audited_and_heals);

/// A refusal in live traffic, and what is to become of it.
struct Case {
    name: &'static str,
    call: fn(&str) -> Native,
    refusal: fn() -> Canned,
    /// The code in `x-voxgate-error`; `None` when it is the caller's mistake and says nothing of the key.
    code: Option<&'static str>,
    /// The credential's status afterwards.
    status: &'static str,
}

const fn case(
    name: &'static str,
    call: fn(&str) -> Native,
    refusal: fn() -> Canned,
    code: Option<&'static str>,
    status: &'static str,
) -> Case {
    Case {
        name,
        call,
        refusal,
        code,
        status,
    }
}

const CASES: &[Case] = &[
    case(
        "ElevenLabs: wrong key",
        calls::elevenlabs_tts,
        elevenlabs::refuse_key,
        Some("credential_invalid"),
        "invalid",
    ),
    case(
        "ElevenLabs: missing permission",
        calls::elevenlabs_tts,
        || elevenlabs::missing_permission("text_to_speech"),
        Some("credential_restricted"),
        "valid",
    ),
    case(
        "ElevenLabs: no credits",
        calls::elevenlabs_tts,
        elevenlabs::quota_exceeded,
        Some("provider_quota_exceeded"),
        "valid",
    ),
    case(
        "ElevenLabs: address",
        calls::elevenlabs_tts,
        elevenlabs::unusual_activity,
        Some("credential_restricted"),
        "valid",
    ),
    case(
        "ElevenLabs: busy",
        calls::elevenlabs_tts,
        elevenlabs::too_many_requests,
        Some("provider_rate_limited"),
        "valid",
    ),
    case(
        "ElevenLabs: overload",
        calls::elevenlabs_tts,
        elevenlabs::system_busy,
        Some("provider_error"),
        "valid",
    ),
    case(
        "ElevenLabs: a page of HTML",
        calls::elevenlabs_tts,
        || Canned::html(500),
        Some("provider_error"),
        "valid",
    ),
    case(
        "ElevenLabs: a caller's mistake",
        calls::elevenlabs_tts,
        || Canned::json(422, mistake()),
        None,
        "valid",
    ),
    case(
        "Azure: wrong key",
        calls::azure_tts,
        azure_wrong_key,
        Some("credential_invalid"),
        "invalid",
    ),
    case(
        "Azure: network rules",
        calls::azure_tts,
        azure::network_rules,
        Some("credential_restricted"),
        "valid",
    ),
    case(
        "Azure: throttled",
        calls::azure_tts,
        azure::too_many_requests,
        Some("provider_rate_limited"),
        "valid",
    ),
    case(
        "Azure: bad SSML",
        calls::azure_tts,
        || Canned::text(400, "text/plain", ""),
        None,
        "valid",
    ),
    case(
        "Gemini: wrong key",
        calls::gemini_tts,
        gemini::unknown_key,
        Some("credential_invalid"),
        "invalid",
    ),
    case(
        "Gemini: standard key",
        calls::gemini_tts,
        gemini::standard_key,
        Some("credential_invalid"),
        "invalid",
    ),
    case(
        "Gemini: leaked key",
        calls::gemini_tts,
        gemini::leaked_key,
        Some("credential_invalid"),
        "invalid",
    ),
    case(
        "Gemini: service disabled",
        calls::gemini_tts,
        gemini::service_disabled,
        Some("credential_restricted"),
        "valid",
    ),
    case(
        "Gemini: location",
        calls::gemini_tts,
        gemini::wrong_location,
        Some("credential_restricted"),
        "valid",
    ),
    case(
        "Gemini: per minute",
        calls::gemini_tts,
        gemini::per_minute_limit,
        Some("provider_rate_limited"),
        "valid",
    ),
    case(
        "Gemini: per day",
        calls::gemini_tts,
        gemini::per_day_limit,
        Some("provider_quota_exceeded"),
        "valid",
    ),
];

fn mistake() -> Value {
    serde_json::json!({"detail": [{"loc": ["body", "text"], "msg": "Field required", "type": "missing"}]})
}

fn azure_wrong_key() -> Canned {
    azure::refuse_key(crate::fakes::Kind::AzureTts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_passes_unchanged_and_is_understood() {
    let world = World::start(Database::Sqlite).await;
    for (number, case) in CASES.iter().enumerate() {
        let user = world.user(&format!("user-{number}")).await;
        let call = (case.call)("words");
        let key = world.stored_key(&user, call.provider).await;
        let refusal = (case.refusal)();
        call.fake(&world).treat(&key, Behaviour::Refuse(refusal.clone()));
        let answer = call.through(&world, &user).await;
        assert_eq!(answer.status, refusal.status, "{}", case.name);
        assert_eq!(answer.text(), refusal.body, "{}", case.name);
        assert_eq!(answer.code(), case.code, "{}", case.name);
        let mended_by_people = case
            .code
            .is_some_and(|code| code.starts_with("credential_") || code == "provider_quota_exceeded");
        assert_eq!(
            answer.header("x-voxgate-setup-url").is_some(),
            mended_by_people,
            "{}",
            case.name
        );

        let expected_reason = if mended_by_people { case.code } else { None };
        let credential = settled(&world, &user, call.provider, |credential| {
            credential["status"] == case.status && credential["status_reason"].as_str() == expected_reason
        });
        let credential = credential
            .await
            .unwrap_or_else(|last| panic!("{}: {last}", case.name));
        assert_eq!(
            credential["status_detail"].is_string(),
            mended_by_people,
            "{}: {credential}",
            case.name
        );
    }
    world.end().await;
}

/// The credential once it is as expected; its status is noted beside the traffic, not before the answer.
async fn settled(
    world: &World,
    user: &User,
    provider: &str,
    expected: impl Fn(&Value) -> bool,
) -> Result<Value, Value> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let credential = world.read(user, &format!("/api/v1/credentials/{provider}")).await;
        if expected(&credential) {
            return Ok(credential);
        }
        if Instant::now() > deadline {
            return Err(credential);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_to_come_back_is_told_wherever_the_provider_put_it() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    for (call, refusal, seconds) in [
        (calls::gemini_tts("x"), gemini::per_minute_limit(), "27"),
        (calls::azure_tts("x"), azure::too_many_requests(), "7"),
        (
            calls::elevenlabs_tts("x"),
            elevenlabs::too_many_requests().header("retry-after", "3"),
            "3",
        ),
    ] {
        let key = world.stored_key(&user, call.provider).await;
        call.fake(&world).treat(&key, Behaviour::Refuse(refusal));
        let answer = call
            .through(&world, &user)
            .await
            .refused(429, "provider_rate_limited");
        assert_eq!(answer.header("retry-after"), Some(seconds), "{}", call.provider);
    }
    world.end().await;
}

async fn a_key_that_died_is_marked_audited_and_heals(database: Database) {
    let world = World::start(database).await;
    let user = world.user("ann").await;
    for call in calls::speech_of_each() {
        let key = world.stored_key(&user, call.provider).await;
        let fake = call.fake(&world);
        fake.forget(&key);
        for _ in 0..3 {
            let answer = call.through(&world, &user).await;
            assert_eq!(answer.code(), Some("credential_invalid"), "{}", answer.text());
            let setup_url = format!("https://voxgate.example.com/providers/{}", call.provider);
            assert_eq!(answer.header("x-voxgate-setup-url"), Some(setup_url.as_str()));
        }
        settled(&world, &user, call.provider, |credential| {
            credential["status"] == "invalid"
        })
        .await
        .expect("marked");
        let audit = format!(
            "/api/v1/audit?provider={}&action=credential.status",
            call.provider
        );
        world.records(&user, &audit, 1).await;

        fake.treat(&key, Behaviour::Normal);
        call.through(&world, &user).await.succeeded();
        settled(&world, &user, call.provider, |credential| {
            credential["status"] == "valid" && credential["status_reason"].is_null()
        })
        .await
        .expect("healed");
        world.records(&user, &audit, 2).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_during_the_upload_is_passed_on() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let canned = Canned::json(
        400,
        serde_json::json!({"detail": {"status": "invalid_parameters", "message": "no"}}),
    );
    world
        .fakes
        .elevenlabs
        .treat(&key, Behaviour::AnswerEarly(canned.clone()));
    let answer = calls::elevenlabs_stt(&vec![1; 3 << 20])
        .through(&world, &user)
        .await;
    assert_eq!((answer.status, answer.text()), (canned.status, canned.body));
    world.end().await;
}
