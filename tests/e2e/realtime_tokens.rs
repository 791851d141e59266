//! Where a caller of a WebSocket may show its token besides the head, and that it goes no further.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fakes::Ending;
use crate::harness::socket::{Close, TEXT};
use crate::harness::unified::{HEARD, WORDS};
use crate::harness::{sound, talk};

const FIELDS: [&str; 4] = ["xi-api-key", "xi_api_key", "authorization", "single_use_token"];

fn speech() -> String {
    format!("/elevenlabs{}", talk::speech())
}

#[track_caller]
fn is_unauthenticated(close: &Close) {
    assert_eq!(close.code, Some(1008), "{close:?}");
    assert!(close.reason.starts_with("unauthenticated"), "{close:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_message_may_show_it_in_four_fields() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    for field in FIELDS {
        let mut socket = world.dial(&speech()).open().await;
        let token = match field {
            "authorization" => format!("Bearer {}", user.token),
            _ => user.token.clone(),
        };
        socket.send_json(&talk::with(talk::blank(), field, &token)).await;
        socket.send_json(&talk::text(WORDS)).await;
        socket.send_json(&talk::text("")).await;
        let samples = socket.speech().await;
        assert_eq!(sound::heard("pcm", &samples).await.text(), HEARD, "{field}");
        socket.closed().await.is(1000, "");
        let over = |call: &crate::fakes::Seen| call.ending == Ending::Complete;
        let seen = world.fakes.elevenlabs.until(&key, "it ended", over).await;
        let first = &seen.socket.expect("it was upgraded").messages[0];
        let first: serde_json::Value = serde_json::from_slice(first.bytes()).expect("JSON");
        assert_eq!(first, talk::blank(), "{field}: all but the token arrives");
    }
    let records = world.usage(&user, FIELDS.len()).await;
    for record in &records {
        talk::assert_ended(record, 1000, "provider", "ok");
        assert_eq!(record["messages_in"], 3, "{record}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_context_may_show_it_also_in_pieces() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let path = talk::speech_path("multi-stream-input", "output_format=pcm_24000");
    let mut socket = world.dial_as(&user, "elevenlabs", &path).open().await;
    for (number, field) in FIELDS.into_iter().enumerate() {
        let context = json!({"text": " ", "context_id": format!("c{number}")});
        let message = talk::with(context, field, &user.token).to_string();
        // Also where a piece ends inside of the token.
        socket
            .send_in_pieces(TEXT, message.as_bytes(), 7 + number * 13)
            .await;
        socket.ping(b"between").await;
    }
    socket
        .send_json(&json!({"context_id": "c3", "text": WORDS, "flush": true}))
        .await;
    let piece = socket.json().await;
    assert_eq!(piece["contextId"], "c3");
    socket.send_json(&json!({"close_socket": true})).await;
    socket.closed().await.is(1000, "");
    let seen = world
        .fakes
        .elevenlabs
        .last_call(&key)
        .socket
        .expect("it was upgraded");
    for (number, message) in seen.messages.iter().take(4).enumerate() {
        let message: serde_json::Value = serde_json::from_slice(message.bytes()).expect("JSON");
        assert_eq!(message, json!({"text": " ", "context_id": format!("c{number}")}));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialogues_may_begin_with_it() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    for kind in ["stream-input", "multi-stream-input"] {
        let path =
            format!("/elevenlabs/v1/text-to-dialogue/{kind}?model_id=eleven_v4&output_format=pcm_24000");
        let mut socket = world.dial(&path).open().await;
        let voice = crate::fakes::elevenlabs::VOICE;
        let mut first = json!({"voices": [voice], "inputs": [{"text": WORDS, "voice_id": voice}], "xi_api_key": user.token});
        if kind == "multi-stream-input" {
            first["context_id"] = json!("a");
        }
        socket.send_json(&first).await;
        socket.send_json(&json!({"close_socket": true})).await;
        let last = socket.json_where(|answer| answer["is_final"] == true).await;
        assert_eq!(last["context_id"].is_null(), kind == "stream-input");
        socket.closed().await.is(1000, "");
    }
    for record in world.usage(&user, 2).await {
        assert_eq!(record["characters"], WORDS.len(), "{record:#}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_one_none_and_a_late_one_are_closes_that_say_so() {
    let world = talk::world(&[("socket_token_seconds", 1.into())]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let stranger = format!("vxg_{}", "0".repeat(36));
    for first in [
        talk::with(talk::blank(), "xi_api_key", &stranger),
        talk::with(talk::blank(), "xi_api_key", ""),
        talk::blank(),
    ] {
        let mut socket = world.dial(&speech()).open().await;
        socket.send_json(&first).await;
        is_unauthenticated(&socket.closed().await);
    }
    let begun = Instant::now();
    is_unauthenticated(&world.dial(&speech()).open().await.closed().await);
    let waited = begun.elapsed();
    let limits = Duration::from_millis(900)..Duration::from_secs(5);
    assert!(limits.contains(&waited), "it took {waited:?}");
    assert_eq!(world.fakes.elevenlabs.messages_heard(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_credential_is_told_so_after_the_token() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let mut socket = world.dial(&speech()).open().await;
    socket
        .send_json(&talk::with(talk::blank(), "xi-api-key", &user.token))
        .await;
    let close = socket.closed().await;
    assert_eq!(close.code, Some(1008), "{close:?}");
    assert!(close.reason.starts_with("credential_missing"), "{close:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_may_show_it_as_a_subprotocol() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    for provider in ["elevenlabs", "azure", "gemini"] {
        world.stored_key(&user, provider).await;
    }
    let offers = format!("voxgate, voxgate.{}", user.token);
    for (path, offered, chosen) in [
        (speech(), offers.clone(), "voxgate"),
        (format!("/gemini{}", talk::GEMINI_LIVE), offers.clone(), "voxgate"),
        (azure(), offers.clone(), "voxgate"),
        (azure(), format!("{offers}, USP"), "USP"),
    ] {
        let dial = world.dial(&path).header("Sec-WebSocket-Protocol", &offered);
        let socket = dial.open().await;
        assert_eq!(
            socket.head.header("sec-websocket-protocol"),
            Some(chosen),
            "{path}"
        );
        socket.close(1000, "").await;
    }
    let offered = format!("voxgate, voxgate.vxg_{}", "0".repeat(36));
    let dial = world.dial(&speech()).header("Sec-WebSocket-Protocol", &offered);
    dial.refused().await.says(401, "unauthenticated");
    world.end().await;
}

fn azure() -> String {
    format!("/azure{}?X-ConnectionId={}", talk::AZURE_SPEECH, "a".repeat(32))
}
