//! Large recordings under `/v1`: streamed through where the provider takes uploads, refused by name where too large.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};

use crate::harness::config::set;
use crate::harness::unified::{ELEVENLABS, GEMINI, HEARD, recording};
use crate::harness::{User, World, calls};

const LARGE: usize = 30 << 20;

/// The sentence, with a chunk behind the samples that players skip.
async fn large_recording() -> Vec<u8> {
    let mut file = recording().await.to_vec();
    if !file.len().is_multiple_of(2) {
        file.push(0);
    }
    let padding = LARGE - file.len();
    file.extend_from_slice(b"JUNK");
    file.extend_from_slice(&(padding as u32).to_le_bytes());
    file.resize(file.len() + padding, 0);
    let length = (file.len() - 8) as u32;
    file[4..8].copy_from_slice(&length.to_le_bytes());
    file
}

fn pieces(body: Bytes) -> reqwest::Body {
    let starts = (0..body.len()).step_by(256 << 10);
    let pieces: Vec<Bytes> = starts
        .map(|at| body.slice(at..(at + (256 << 10)).min(body.len())))
        .collect();
    reqwest::Body::wrap_stream(stream::iter(pieces).map(Ok::<_, std::io::Error>))
}

fn upload(world: &World, user: &User, model: &str, recording: &[u8]) -> reqwest::RequestBuilder {
    let parts = [
        ("model", None, model.as_bytes()),
        ("file", Some("audio/wav"), recording),
    ];
    let request = world
        .http
        .post(world.gateway("/v1/audio/transcriptions"))
        .bearer_auth(&user.token);
    request
        .header("content-type", calls::multipart_type())
        .body(pieces(calls::multipart(&parts)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_recording_passes_in_little_memory() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    let model = ELEVENLABS.transcript_model();
    // What is allocated once, at the first call, is not what this is about.
    world.transcribe(&user, &model, &[]).await.succeeded();
    let before = world.node().memory();
    let recording = large_recording().await;
    let uploads = async {
        for _ in 0..3 {
            let answer = world
                .send(upload(&world, &user, &model, &recording))
                .await
                .succeeded();
            assert_eq!(answer.json()["text"], HEARD);
        }
    };
    let most = most_memory_during(&world, uploads).await;
    assert!(most < before + (16 << 20), "{} MiB more", (most - before) >> 20);
    world.end().await;
}

/// The largest resident memory of the process while something happens, looked at often.
async fn most_memory_during(world: &World, happening: impl Future<Output = ()>) -> u64 {
    tokio::pin!(happening);
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let mut most = 0;
    loop {
        tokio::select! {
            () = &mut happening => return most,
            _ = look.tick() => most = most.max(world.node().memory()),
        }
    }
}

/// A provider that takes base64 in a body of 20 MB takes less audio than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_provider_takes_is_refused_by_its_limit() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    let recording = large_recording().await;
    let answer = world
        .send(upload(&world, &user, &GEMINI.transcript_model(), &recording))
        .await;
    let error = answer.refused(413, "payload_too_large").json();
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("gemini") || message.contains("Gemini"),
        "{message}"
    );
    assert!(
        message.chars().any(|letter| letter.is_ascii_digit()),
        "names the limit: {message}"
    );
    assert_eq!(world.fakes.gemini.call_count_of("POST"), 0);

    let smaller = &recording[..recording.len() - (20 << 20)];
    world
        .send(upload(&world, &user, &GEMINI.transcript_model(), smaller))
        .await
        .succeeded();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_limit_is_named_too() {
    let world = World::unified_with(|config, _| set(config, "gateway.max_body_bytes", 1 << 20)).await;
    let user = world.equipped_user("ann").await;
    let recording = large_recording().await;
    let answer = world
        .send(upload(
            &world,
            &user,
            &ELEVENLABS.transcript_model(),
            &recording[..2 << 20],
        ))
        .await;
    answer.refused(413, "payload_too_large");
    world.end().await;
}
