//! How speech arrives under `/v1`: as the provider produces it, and never as something it is not.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fakes::strict::gemini;
use crate::fakes::{Behaviour, Canned, Ending, Gate, audio, schema::Spec};
use crate::harness::unified::{AZURE, ELEVENLABS, GEMINI, HEARD, PROVIDERS, Provider};
use crate::harness::{World, sound};

/// What is held back is more than any buffer of the gateway's keeps, in the provider's own bytes.
const LET_THROUGH: [(Provider, usize); 3] = [(ELEVENLABS, 24_000), (AZURE, 24_000), (GEMINI, 60_000)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_bytes_arrive_while_the_rest_is_held_back() {
    let world = World::unified().await;
    let user = world.user("ann").await;
    for (provider, bytes) in LET_THROUGH {
        let key = world.stored_key(&user, provider.id).await;
        let fake = world.fakes.speaking(provider.id);
        for format in ["pcm", "wav", "mp3", "flac"] {
            let gate = Gate::default();
            fake.treat(
                &key,
                Behaviour::HoldAfter {
                    bytes,
                    gate: gate.clone(),
                },
            );
            let mut answer = world
                .speech(&user, &provider.speech(format))
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), 200);
            let first = tokio::time::timeout(Duration::from_secs(10), answer.chunk()).await;
            let first = first.unwrap_or_else(|_| {
                panic!("{}, {format}: nothing came while the rest was held", provider.id)
            });
            let mut sound = first.expect("a piece").expect("a piece").to_vec();
            assert_eq!(
                fake.last_call(&key).ending,
                Ending::Open,
                "{}, {format}",
                provider.id
            );
            gate.open();
            while let Some(piece) = answer.chunk().await.expect("the rest") {
                sound.extend_from_slice(&piece);
            }
            assert_eq!(
                sound::heard(format, &sound).await.text(),
                HEARD,
                "{}, {format}",
                provider.id
            );
        }
    }
    world.end().await;
}

/// The events of a stream, each of which satisfies OpenAI's schema.
fn events(stream: &str, schema: &str) -> Vec<Value> {
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(str::trim);
    data.filter(|data| *data != "[DONE]")
        .map(|data| {
            let event = serde_json::from_str(data).expect("an event in JSON");
            assert_eq!(Spec::OpenAi.refuses(schema, &event), None, "{event}");
            event
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_join_to_the_same_audio() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    for provider in PROVIDERS {
        let plain = world.speak(&user, &provider.speech("pcm")).await.succeeded().body;
        let mut body = provider.speech("pcm");
        body["stream_format"] = "sse".into();
        let answer = world.speak(&user, &body).await.succeeded();
        assert!(
            answer
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("text/event-stream"))
        );
        let events = events(&answer.text(), "CreateSpeechResponseStreamEvent");
        let (done, deltas) = events.split_last().expect("events");
        let joined: Vec<u8> = deltas
            .iter()
            .flat_map(|event| {
                STANDARD
                    .decode(event["audio"].as_str().expect("a delta"))
                    .expect("base64")
            })
            .collect();
        assert_eq!(done["type"], "speech.audio.done", "{}", provider.id);
        assert!(deltas.len() > 1, "{}", provider.id);
        assert!(
            plain == joined,
            "{}: the events hold other audio than the plain answer",
            provider.id
        );
    }
    world.end().await;
}

/// One answer of one provider that looks well by its status and is not.
async fn is_no_speech(provider: Provider, behaviour: Behaviour) {
    let world = World::unified().await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, provider.id).await;
    world.fakes.speaking(provider.id).treat(&key, behaviour);
    for format in ["mp3", "wav"] {
        let answer = world
            .speak(&user, &provider.speech(format))
            .await
            .refused(502, "provider_error");
        assert!(answer.json()["error"]["message"].is_string(), "{format}");
    }
    let usage = world.usage(&user, 2).await;
    assert!(
        usage.iter().all(|record| record["outcome"] == "error"),
        "{usage:#?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_answer_is_an_error() {
    for provider in [ELEVENLABS, AZURE] {
        is_no_speech(provider, Behaviour::Refuse(Canned::text(200, "audio/mpeg", ""))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_without_audio_is_an_error() {
    is_no_speech(GEMINI, Behaviour::Refuse(gemini::no_audio())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_container_is_what_it_is_labelled_as() {
    let page = Canned::html(200).header("x-served-by", "a content delivery network");
    is_no_speech(ELEVENLABS, Behaviour::Refuse(page)).await;
    let world = World::unified().await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let body = audio::recording("not mp3", 9_000);
    world.fakes.elevenlabs.treat(
        &key,
        Behaviour::Instead {
            content_type: "audio/mpeg",
            body,
        },
    );
    world
        .speak(&user, &ELEVENLABS.speech("mp3"))
        .await
        .refused(502, "provider_error");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_never_looks_whole() {
    let world = World::unified().await;
    let user = world.user("ann").await;
    for (provider, bytes) in LET_THROUGH {
        let key = world.stored_key(&user, provider.id).await;
        world
            .fakes
            .speaking(provider.id)
            .treat(&key, Behaviour::BreakAfter(bytes));
        for format in ["mp3", "pcm", "wav"] {
            let answer = world.speak(&user, &provider.speech(format)).await;
            assert!(
                answer.broken && !answer.body.is_empty(),
                "{}, {format}",
                provider.id
            );
        }
    }
    let usage = world.usage(&user, 9).await;
    assert!(usage.iter().all(|record| record["outcome"] != "ok"), "{usage:#?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_is_told_when_the_caller_leaves() {
    let world = World::unified().await;
    let user = world.user("ann").await;
    for (provider, bytes) in LET_THROUGH {
        let key = world.stored_key(&user, provider.id).await;
        let fake = world.fakes.speaking(provider.id);
        fake.treat(
            &key,
            Behaviour::HoldAfter {
                bytes,
                gate: Gate::default(),
            },
        );
        let mut answer = world
            .speech(&user, &provider.speech("pcm"))
            .send()
            .await
            .expect("an answer");
        answer.chunk().await.expect("a piece").expect("a piece");
        drop(answer);
        fake.until(&key, "the caller left", |call| call.ending == Ending::Abandoned)
            .await;
    }
    let usage = world.usage(&user, 3).await;
    assert!(
        usage.iter().all(|record| record["outcome"] == "interrupted"),
        "{usage:#?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_may_leave_before_the_first_byte() {
    let world = World::unified().await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let fake = &world.fakes.elevenlabs;
    fake.treat(&key, Behaviour::StallBeforeHead);
    let request = tokio::spawn(world.speech(&user, &ELEVENLABS.speech("mp3")).send());
    fake.until(&key, "the call arrived", |call| {
        call.method == "POST" && call.sha256.is_some()
    })
    .await;
    request.abort();
    fake.until(&key, "the caller left", |call| call.ending == Ending::Abandoned)
        .await;
    assert_eq!(world.usage(&user, 1).await[0]["outcome"], "interrupted");
    world.end().await;
}
