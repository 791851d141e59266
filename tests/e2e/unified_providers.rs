//! The providers that are described by a file alone: each speaks once and listens once under `/v1`.

use serde_json::json;

use crate::fakes::strict::{cartesia, openai};
use crate::fakes::{Fakes, Kind};
use crate::harness::unified::{HEARD, WORDS, recording};
use crate::harness::{Database, World, sound};

struct Other {
    id: &'static str,
    speaks_with: &'static str,
    voice: &'static str,
    listens_with: &'static str,
}

const OTHERS: [Other; 5] = [
    Other {
        id: "openai",
        speaks_with: "gpt-4o-mini-tts",
        voice: "alloy",
        listens_with: "whisper-1",
    },
    Other {
        id: "groq",
        speaks_with: "canopylabs/orpheus-v1-english",
        voice: "troy",
        listens_with: "whisper-large-v3-turbo",
    },
    Other {
        id: "openai-compatible",
        speaks_with: "kokoro",
        voice: "af_heart",
        listens_with: "Systran/faster-whisper-small",
    },
    Other {
        id: "deepgram",
        speaks_with: "aura-2-thalia-en",
        voice: "default",
        listens_with: "nova-3",
    },
    Other {
        id: "cartesia",
        speaks_with: "sonic-3",
        voice: cartesia::VOICE,
        listens_with: "ink-whisper",
    },
];

async fn world() -> World {
    World::with_fakes(Database::Sqlite, Fakes::strict_with_others().await, |_, _| {}).await
}

async fn speaks_and_listens(other: &Other) {
    let world = world().await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, other.id).await;
    for format in ["mp3", "opus", "flac", "wav", "pcm"] {
        let model = format!("{}/{}", other.id, other.speaks_with);
        let body = json!({"model": model, "voice": other.voice, "input": WORDS, "response_format": format});
        let answer = world.speak(&user, &body).await.succeeded();
        assert_eq!(answer.header("x-voxgate-provider"), Some(other.id));
        assert_eq!(
            sound::heard(format, &answer.body).await.text(),
            HEARD,
            "{}: {format}",
            other.id
        );
    }
    assert_eq!(
        world
            .fakes
            .speaking(other.id)
            .said(&key)
            .last()
            .map(String::as_str),
        Some(WORDS)
    );
    let model = format!("{}/{}", other.id, other.listens_with);
    let fields = [
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
    ];
    let body = world.transcribe(&user, &model, &fields).await.succeeded().json();
    assert_eq!(
        (&body["text"], body["words"].as_array().map(Vec::len)),
        (&json!(HEARD), Some(5)),
        "{body}"
    );
    let usage = world.usage(&user, 6).await;
    assert!(
        usage
            .iter()
            .all(|record| record["outcome"] == "ok" && record["provider"] == other.id),
        "{usage:#?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_speaks_and_listens() {
    speaks_and_listens(&OTHERS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groq_speaks_and_listens() {
    speaks_and_listens(&OTHERS[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_ones_own_speaks_and_listens() {
    speaks_and_listens(&OTHERS[2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deepgram_speaks_and_listens() {
    speaks_and_listens(&OTHERS[3]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cartesia_speaks_and_listens() {
    speaks_and_listens(&OTHERS[4]).await;
}

/// The one provider here that makes it, and translates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_makes_aac_and_translates() {
    let world = world().await;
    let user = world.user("ann").await;
    world.stored_key(&user, "openai").await;
    let body = json!({"model": "openai/tts-1", "voice": "alloy", "input": WORDS, "response_format": "aac"});
    let answer = world.speak(&user, &body).await.succeeded();
    assert_eq!(answer.header("content-type"), Some("audio/aac"));
    assert_eq!(sound::heard("aac", &answer.body).await.text(), HEARD);
    let fields = [("model", "openai/whisper-1"), ("file", "")];
    let request = world.form(&user, "translations", &fields, &recording().await);
    assert_eq!(
        world.send(request).await.succeeded().json()["text"],
        openai::TRANSLATION
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_the_operator_does_not_list_is_refused() {
    let world = world().await;
    let user = world.user("ann").await;
    let elsewhere = crate::fakes::Fake::start_strict(Kind::OwnServer).await;
    let key = world.key("openai-compatible");
    let body = json!({"api_key": key, "settings": {"base_url": format!("{}/v1", elsewhere.url)}});
    let path = "/api/v1/credentials/openai-compatible";
    let answer = world.ask_admin(&user, http::Method::PUT, path, Some(body)).await;
    answer.problem(422, "invalid_settings");
    assert_eq!(elsewhere.call_count(), 0, "it was not even asked");
    world.end().await;
}
