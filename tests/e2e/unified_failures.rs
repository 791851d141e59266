//! Providers that fail under `/v1`: the next one answers where it may do better, and nobody is asked twice for what
//! the caller got wrong.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fakes::{Behaviour, elevenlabs};
use crate::harness::config::set;
use crate::harness::unified::{AZURE, ELEVENLABS, GEMINI, HEARD, WORDS, default_speech};
use crate::harness::{User, World, sound};

/// A world whose user has ElevenLabs selected and Azure to fall back on, and the key that pays at ElevenLabs.
async fn with_fallback() -> (World, User, String) {
    let world = World::unified_with(|config, _| {
        set(config, "providers.elevenlabs.timeouts.first_byte_seconds", 2);
        set(config, "providers.elevenlabs.timeouts.idle_seconds", 2);
    })
    .await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.stored_key(&user, "azure").await;
    world
        .select(&user, "tts", ELEVENLABS.speaking(), &[AZURE.speaking()])
        .await;
    world
        .select(&user, "stt", ELEVENLABS.listening(), &[AZURE.listening()])
        .await;
    (world, user, key)
}

/// Azure speaks and listens in ElevenLabs' place, and every attempt is on record.
async fn the_fallback_answers(world: &World, user: &User, status: Option<u64>) {
    let asked = Instant::now();
    let spoken = world.speak(user, &default_speech()).await.succeeded();
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    assert_eq!(spoken.header("x-voxgate-provider"), Some("azure"));
    assert_eq!(spoken.header("x-voxgate-model"), Some("neural"));
    assert_eq!(spoken.header("x-voxgate-credential"), Some("user"));
    assert_eq!(spoken.header("x-voxgate-attempts"), Some("2"));
    assert_eq!(sound::heard("mp3", &spoken.body).await.text(), HEARD);

    let usage = world.usage(user, 2).await;
    let of = |attempt: u64| {
        usage
            .iter()
            .find(|record| record["attempt"] == attempt)
            .expect("a record")
    };
    let (first, second) = (of(1), of(2));
    assert_eq!(
        (&first["provider"], &first["outcome"]),
        (&json!("elevenlabs"), &json!("error")),
        "{first}"
    );
    assert_eq!(first["status"].as_u64(), status, "{first}");
    assert_eq!(
        (&second["provider"], &second["outcome"]),
        (&json!("azure"), &json!("ok")),
        "{second}"
    );
    assert_eq!(first["request_id"], second["request_id"]);
}

async fn falls_back(behaviour: Behaviour, status: Option<u64>) {
    let (world, user, key) = with_fallback().await;
    world.fakes.elevenlabs.treat(&key, behaviour);
    the_fallback_answers(&world, &user, status).await;
    let heard = world.transcribe(&user, "whisper-1", &[]).await.succeeded();
    assert_eq!(heard.header("x-voxgate-provider"), Some("azure"));
    assert_eq!(heard.json()["text"], HEARD);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_address_is_fallen_back_from() {
    let (world, user, _) = with_fallback().await;
    world.fakes.elevenlabs.hang_up();
    the_fallback_answers(&world, &user, None).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_fallen_back_from() {
    falls_back(Behaviour::StallBeforeHead, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_fallen_back_from() {
    falls_back(Behaviour::Refuse(elevenlabs::system_busy()), Some(503)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_is_fallen_back_from() {
    falls_back(Behaviour::CutBeforeHead, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_fallen_back_from() {
    let busy = elevenlabs::too_many_requests().header("retry-after", "7");
    falls_back(Behaviour::Refuse(busy), Some(429)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_account_is_fallen_back_from() {
    falls_back(Behaviour::Refuse(elevenlabs::quota_exceeded()), Some(401)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_is_fallen_back_from_and_marked() {
    let (world, user, key) = with_fallback().await;
    world.fakes.elevenlabs.forget(&key);
    the_fallback_answers(&world, &user, Some(401)).await;
    let credential = world.read(&user, "/api/v1/credentials/elevenlabs").await;
    assert_eq!(credential["status"], "invalid", "{credential}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_audio_is_fallen_back_from() {
    let (world, user, key) = with_fallback().await;
    world.fakes.elevenlabs.treat(
        &key,
        Behaviour::Refuse(crate::fakes::Canned::text(200, "audio/mpeg", "")),
    );
    the_fallback_answers(&world, &user, Some(200)).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_own_error_is_not_taken_elsewhere() {
    let (world, user, key) = with_fallback().await;
    let refusal = elevenlabs::error(400, "invalid_parameters", "this text cannot be spoken");
    world.fakes.elevenlabs.treat(&key, Behaviour::Refuse(refusal));
    let answer = world
        .speak(&user, &default_speech())
        .await
        .refused(400, "invalid_request");
    assert!(
        answer.text().contains("this text cannot be spoken"),
        "the provider's words: {}",
        answer.text()
    );
    assert_eq!(answer.header("x-voxgate-provider"), Some("elevenlabs"));
    let mut impossible = default_speech();
    impossible["input"] = json!(5);
    world
        .speak(&user, &impossible)
        .await
        .refused(400, "invalid_request");
    assert_eq!(
        world.fakes.azure_tts.call_count_of("POST"),
        0,
        "Azure was not asked"
    );
    world.usage(&user, 1).await;
    world.end().await;
}

/// Once audio has gone out, nobody else can go on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_in_the_middle_is_not_taken_elsewhere() {
    let (world, user, key) = with_fallback().await;
    world.fakes.elevenlabs.treat(&key, Behaviour::BreakAfter(24_000));
    let answer = world.speak(&user, &default_speech()).await;
    assert!(answer.broken, "{answer:?}");
    assert_eq!(
        world.fakes.azure_tts.call_count_of("POST"),
        0,
        "Azure was not asked"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_that_cannot_do_it_is_passed_over() {
    let (world, user, key) = with_fallback().await;
    world.stored_key(&user, "gemini").await;
    // Gemini has no pace to change.
    world
        .select(
            &user,
            "tts",
            ELEVENLABS.speaking(),
            &[GEMINI.speaking(), AZURE.speaking()],
        )
        .await;
    world
        .fakes
        .elevenlabs
        .treat(&key, Behaviour::Refuse(elevenlabs::system_busy()));
    let body = json!({"model": "default", "voice": "default", "input": WORDS, "speed": 1.1});
    let answer = world.speak(&user, &body).await.succeeded();
    assert_eq!(answer.header("x-voxgate-provider"), Some("azure"));
    assert_eq!(
        world.fakes.gemini.call_count_of("POST"),
        0,
        "Gemini was not asked"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_named_has_no_fallback_and_its_failure_is_told() {
    for (behaviour, status, code) in [
        (
            Behaviour::Refuse(elevenlabs::system_busy()),
            502,
            "provider_error",
        ),
        (
            Behaviour::Refuse(elevenlabs::too_many_requests()),
            429,
            "provider_rate_limited",
        ),
        (
            Behaviour::Refuse(elevenlabs::quota_exceeded()),
            429,
            "provider_quota_exceeded",
        ),
        (
            Behaviour::Refuse(elevenlabs::missing_permission("text_to_speech")),
            424,
            "credential_restricted",
        ),
        (
            Behaviour::Refuse(elevenlabs::refuse_key()),
            424,
            "credential_invalid",
        ),
        (Behaviour::StallBeforeHead, 504, "provider_timeout"),
    ] {
        let (world, user, key) = with_fallback().await;
        world.fakes.elevenlabs.treat(&key, behaviour);
        let answer = world
            .speak(&user, &ELEVENLABS.speech("mp3"))
            .await
            .refused(status, code);
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(answer.header("x-voxgate-provider"), Some("elevenlabs"), "{code}");
        if status == 424 {
            assert!(error["setup_url"].is_string(), "{error}");
        }
        assert_eq!(
            world.fakes.azure_tts.call_count_of("POST"),
            0,
            "{code}: Azure was not asked"
        );
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_providers_own_time_to_wait_is_passed_on() {
    let (world, user, key) = with_fallback().await;
    let busy = elevenlabs::too_many_requests().header("retry-after", "7");
    world.fakes.elevenlabs.treat(&key, Behaviour::Refuse(busy));
    let answer = world
        .speak(&user, &ELEVENLABS.speech("mp3"))
        .await
        .refused(429, "provider_rate_limited");
    let seconds: u64 = answer
        .header("retry-after")
        .and_then(|text| text.parse().ok())
        .expect("a time to wait");
    assert!((5..=7).contains(&seconds), "{seconds}");
    world.end().await;
}
