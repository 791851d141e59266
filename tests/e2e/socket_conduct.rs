//! How the strict providers misbehave on WebSockets when a test tells them to, and what is kept of a conversation.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::fakes::seen::{Side, Spoken};
use crate::fakes::sockets::{Act, Conduct, gemini_live};
use crate::fakes::{Behaviour, Canned, Ending, Fake, Kind, elevenlabs};
use crate::harness::dial::Dial;
use crate::harness::direct::KEY;
use crate::harness::socket::{Received, Socket, TEXT};
use crate::harness::talk;

async fn fake(conduct: Conduct) -> Arc<Fake> {
    let fake = Fake::start_strict(Kind::ElevenLabs).await;
    fake.treat(KEY, Behaviour::Socket(conduct));
    fake
}

fn dial(fake: &Fake) -> Dial {
    Dial::to(&format!("{}{}", fake.url, talk::speech())).header("xi-api-key", KEY)
}

/// A socket on which the blank first message has been said.
async fn begun(fake: &Fake) -> Socket {
    let mut socket = dial(fake).open().await;
    socket.send_json(&talk::blank()).await;
    socket
}

#[tokio::test]
async fn it_refuses_the_upgrade_with_a_body() {
    let fake = Fake::start_strict(Kind::ElevenLabs).await;
    for (refusal, status) in [
        (elevenlabs::refuse_key(), 401),
        (elevenlabs::error(403, "only_for_creator+", "no"), 403),
        (elevenlabs::too_many_requests(), 429),
        (Canned::html(503), 503),
    ] {
        let body = refusal.body.clone();
        fake.treat(KEY, Behaviour::Refuse(refusal));
        let refused = dial(&fake).refused().await;
        assert_eq!((refused.head.status, refused.body), (status, body));
    }
}

#[tokio::test]
async fn it_closes_when_and_as_it_is_told() {
    let fake = fake(Act::close(4_321, "of its own making").after(1)).await;
    begun(&fake).await.closed().await.is(4_321, "of its own making");
    let seen = fake
        .until(KEY, "it ended", |call| call.ending == Ending::Complete)
        .await;
    let closed = seen.socket.and_then(|socket| socket.closed).expect("a close");
    assert_eq!((closed.code, closed.by), (Some(4_321), Side::Provider));
}

#[tokio::test]
async fn it_says_what_it_is_told_before_the_first_message() {
    let message = json!({"message_type": "quota_exceeded", "error": "no credits"});
    let fake = fake(Act::say_and_close(&message, 1008, "quota_exceeded").after(0)).await;
    let mut socket = dial(&fake).open().await;
    assert_eq!(socket.json().await, message);
    socket.closed().await.is(1008, "quota_exceeded");

    let warned = gemini_live::go_away(10);
    let messages = vec![warned.to_string()];
    fake.treat(KEY, Behaviour::Socket(Act::Say { messages, then: None }.after(1)));
    let mut socket = begun(&fake).await;
    assert_eq!(socket.json().await, warned);
    socket.send_json(&talk::text("")).await;
    assert_eq!(socket.speech().await, Vec::<u8>::new());
}

#[tokio::test]
async fn it_falls_silent_and_still_takes_a_close() {
    let fake = fake(Act::FallSilent.after(1)).await;
    let mut socket = begun(&fake).await;
    socket.send_json(&talk::text("")).await;
    let waiting = tokio::time::timeout(Duration::from_millis(300), socket.receive()).await;
    waiting.expect_err("it says nothing");
    socket.close(1000, "enough").await.is(1000, "enough");
    let seen = fake
        .until(KEY, "it ended", |call| call.ending == Ending::Complete)
        .await;
    let closed = seen.socket.and_then(|socket| socket.closed).expect("a close");
    assert_eq!((closed.reason.as_str(), closed.by), ("enough", Side::Caller));
}

#[tokio::test]
async fn it_stops_reading_until_the_line_is_full() {
    let fake = fake(Act::StopReading.after(1)).await;
    let mut socket = begun(&fake).await;
    let much = "a".repeat(1 << 20);
    let flood = async {
        for _ in 0..64 {
            socket.send_json(&talk::text(&much)).await;
        }
    };
    let flooding = tokio::time::timeout(Duration::from_secs(2), flood).await;
    flooding.expect_err("nobody takes 64 MiB");
    assert_eq!(fake.last_call(KEY).socket.expect("it was upgraded").heard, 1);
}

#[tokio::test]
async fn it_is_gone_without_a_word() {
    let fake = fake(Act::Vanish.after(1)).await;
    assert_eq!(begun(&fake).await.ended().await, None);
    assert_eq!(
        fake.until(KEY, "it cut", |call| call.ending == Ending::Cut)
            .await
            .ending,
        Ending::Cut
    );
}

#[tokio::test]
async fn it_ends_one_half_and_reads_on() {
    let fake = fake(Act::HalfClose.after(1)).await;
    let mut socket = begun(&fake).await;
    assert_eq!(socket.receive().await, Received::End);
    socket.send_json(&talk::text("still heard ")).await;
    let two = |call: &crate::fakes::Seen| call.socket.as_ref().is_some_and(|socket| socket.heard == 2);
    fake.until(KEY, "it read on", two).await;
}

#[tokio::test]
async fn it_pings_and_keeps_the_pong() {
    let fake = fake(Act::Ping(b"are you there".to_vec()).after(1)).await;
    let mut socket = begun(&fake).await;
    assert_eq!(socket.receive().await, Received::Ping(b"are you there".to_vec()));
    socket.send_frame(0x8a, b"are you there").await;
    socket.ping(b"and you").await;
    assert_eq!(socket.receive().await, Received::Pong(b"and you".to_vec()));
    let seen = fake.last_call(KEY).socket.expect("it was upgraded");
    assert_eq!(
        (seen.pongs, seen.pings),
        (vec![b"are you there".to_vec()], vec![b"and you".to_vec()])
    );
}

#[tokio::test]
async fn it_takes_its_time() {
    let pace = Duration::from_millis(100);
    let fake = fake(Act::Converse { pace }.after(0)).await;
    let mut socket = begun(&fake).await;
    socket.send_json(&talk::text("one ")).await;
    socket.send_json(&talk::text("")).await;
    let begun = std::time::Instant::now();
    assert!(!socket.speech().await.is_empty());
    assert!(
        begun.elapsed() > pace * 5,
        "five messages took {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn it_echoes_what_came_in_pieces_as_one() {
    let fake = fake(Act::Echo.after(0)).await;
    let mut socket = dial(&fake).open().await;
    let text = "Grüße, 你好. ".repeat(9_000);
    socket.send_in_pieces(TEXT, text.as_bytes(), 1_000).await;
    assert_eq!(socket.message().await, Received::Text(text.clone()));
    socket.send_bytes(&[0, 255, 10, 13]).await;
    assert_eq!(socket.message().await, Received::Bytes(vec![0, 255, 10, 13]));
    let seen = fake.last_call(KEY).socket.expect("it was upgraded");
    assert_eq!(seen.messages[0], Spoken::Text(text));
}

#[tokio::test]
async fn it_notices_who_vanishes() {
    let fake = fake(Act::FallSilent.after(1)).await;
    begun(&fake).await.vanish();
    let seen = fake
        .until(KEY, "it noticed", |call| call.ending == Ending::Abandoned)
        .await;
    assert_eq!(seen.socket.and_then(|socket| socket.closed), None);
}
