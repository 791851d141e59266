//! How open WebSockets end when something ends them from outside, and that their records are whole whatever does.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use crate::fakes::seen::Side;
use crate::fakes::sockets::Act;
use crate::fakes::{Behaviour, Ending, Seen};
use crate::harness::socket::{Received, Socket};
use crate::harness::{Database, User, World, on_both_databases, talk};

on_both_databases!(a_power_cut_loses_no_more_than_the_last_interval);

/// A conversation under way: the caller has sent a second of sound.
async fn listening(world: &World, user: &User) -> Socket {
    let mut socket = world.dial_as(user, "elevenlabs", talk::REALTIME).open().await;
    assert_eq!(socket.json().await["message_type"], "session_started");
    socket.send_json(&talk::chunk(&[0; 32_000], false)).await;
    assert_eq!(socket.json().await["message_type"], "partial_transcript");
    socket
}

/// The close with which the gateway ends a socket, and how long that took.
async fn closed_by_gateway(socket: Socket, since: Instant) -> (u16, String, Duration) {
    let close = socket.closed().await;
    (close.code.expect("a code"), close.reason, since.elapsed())
}

async fn one_record(world: &World, user: &User) -> Value {
    world.usage(user, 1).await.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_credential_closes_its_sockets_and_no_others() {
    let world = talk::world(&[]).await;
    let (ann, ben) = (world.user("ann").await, world.user("ben").await);
    let key = world.stored_key(&ann, "elevenlabs").await;
    world.stored_key(&ben, "elevenlabs").await;
    let (socket, mut other) = (listening(&world, &ann).await, listening(&world, &ben).await);
    let since = Instant::now();
    world
        .ask_admin(&ann, Method::DELETE, "/api/v1/credentials/elevenlabs", None)
        .await;
    let (code, reason, took) = closed_by_gateway(socket, since).await;
    assert_eq!(code, 1008, "{reason}");
    assert!(reason.contains("credential"), "{reason}");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let over = |call: &Seen| call.ending != Ending::Open;
    world
        .fakes
        .elevenlabs
        .until(&key, "it was closed too", over)
        .await;
    let record = one_record(&world, &ann).await;
    assert_eq!(
        (&record["close_code"], &record["closed_by"]),
        (&1008.into(), &"gateway".into()),
        "{record:#}"
    );
    assert_eq!(record["audio_seconds_in"], 1.0, "{record:#}");

    other.send_json(&talk::chunk(&[0; 32_000], true)).await;
    let committed = |message: &Value| message["message_type"] == "committed_transcript";
    other.json_where(committed).await;
    other.close(1000, "").await.is(1000, "");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_closes_its_sockets() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let socket = listening(&world, &user).await;
    let list = world
        .command(&["token", "list", "--user", "ann", "--format", "json"])
        .await;
    let list: Value = serde_json::from_str(&list.succeeded().stdout).expect("JSON");
    let id = list["items"][0]["id"]
        .as_str()
        .expect("a token of ann's")
        .to_owned();
    let since = Instant::now();
    world.command(&["token", "revoke", &id]).await.succeeded();
    let (code, reason, took) = closed_by_gateway(socket, since).await;
    assert_eq!(code, 1008, "{reason}");
    assert!(reason.contains("token"), "{reason}");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_sockets_stay_where_the_operator_wants_them_to() {
    let world = talk::world(&[("close_on_revoke", false.into())]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let mut socket = listening(&world, &user).await;
    world
        .ask_admin(&user, Method::DELETE, "/api/v1/credentials/elevenlabs", None)
        .await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    socket.send_json(&talk::chunk(&[0; 32_000], true)).await;
    let committed = |message: &Value| message["message_type"] == "committed_transcript";
    socket.json_where(committed).await;
    socket.close(1000, "").await.is(1000, "");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_to_stop_lets_them_finish_and_then_says_goodbye() {
    let mut world = talk::world(&[("drain_seconds", 3.into())]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let (mut finishes, stays) = (listening(&world, &user).await, listening(&world, &user).await);
    let since = Instant::now();
    world.node().signal("TERM").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    finishes.send_json(&talk::chunk(&[0; 32_000], true)).await;
    let committed = |message: &Value| message["message_type"] == "committed_transcript";
    finishes.json_where(committed).await;
    finishes.close(1000, "").await.is(1000, "");
    let (code, reason, took) = closed_by_gateway(stays, since).await;
    assert_eq!(code, 1001, "{reason}");
    let limits = Duration::from_secs(2)..Duration::from_secs(8);
    assert!(limits.contains(&took), "it took {took:?}");
    let goodbye = |call: &Seen| call.socket.as_ref().is_some_and(|socket| socket.closed.is_some());
    let seen = world
        .fakes
        .elevenlabs
        .until(&key, "the gateway said goodbye", goodbye)
        .await;
    assert_eq!(
        seen.socket
            .and_then(|socket| socket.closed)
            .map(|closed| closed.by),
        Some(Side::Caller)
    );
    let status = world.nodes[0].ended(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");

    world.restart().await;
    let mut records = world.usage(&user, 2).await;
    records.sort_by_key(|record| record["close_code"].as_u64());
    talk::assert_ended(&records[0], 1000, "caller", "ok");
    assert_eq!(
        (&records[1]["close_code"], &records[1]["closed_by"]),
        (&1001.into(), &"gateway".into())
    );
    assert_eq!(records[1]["audio_seconds_in"], 1.0, "{records:#?}");
    world.end().await;
}

async fn a_power_cut_loses_no_more_than_the_last_interval(database: Database) {
    let fakes = crate::fakes::Fakes::strict().await;
    let mut world = World::with_fakes(database, fakes, |config, _| {
        crate::harness::config::set(config, "gateway.socket_record_seconds", 1);
    })
    .await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let socket = listening(&world, &user).await;
    // The record is looked at every two seconds, and is on disk within 50 milliseconds.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    world.nodes[0].kill().await;
    assert_eq!(socket.ended().await, None, "nobody was left to say goodbye");
    world.restart().await;
    let record = one_record(&world, &user).await;
    assert_eq!(record["status"], 101, "{record:#}");
    assert_eq!(record["audio_seconds_in"], 1.0, "{record:#}");
    assert_eq!(
        (&record["messages_in"], &record["messages_out"]),
        (&1.into(), &2.into()),
        "{record:#}"
    );
    assert!(record["closed_by"].is_null(), "nobody knows: {record:#}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_records_end_as_one() {
    let world = talk::world(&[("socket_record_seconds", 1.into())]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let mut socket = listening(&world, &user).await;
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    let open = one_record(&world, &user).await;
    assert!(open["closed_by"].is_null(), "{open:#}");
    socket.send_json(&talk::chunk(&[0; 32_000], true)).await;
    let committed = |message: &Value| message["message_type"] == "committed_transcript";
    socket.json_where(committed).await;
    socket.close(1000, "").await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let record = loop {
        let record = one_record(&world, &user).await;
        if !record["closed_by"].is_null() {
            break record;
        }
        assert!(Instant::now() < deadline, "it stays open: {record:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    talk::assert_ended(&record, 1000, "caller", "ok");
    assert_eq!(record["audio_seconds_in"], 2.0, "{record:#}");
    assert_eq!(record["request_id"], open["request_id"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_vanishes_takes_the_caller_along() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    for act in [Act::Vanish, Act::HalfClose] {
        world
            .fakes
            .elevenlabs
            .treat(&key, Behaviour::Socket(act.after(1)));
        let mut socket = world.dial_as(&user, "elevenlabs", talk::REALTIME).open().await;
        socket.send_json(&talk::chunk(&[0; 32_000], false)).await;
        let since = Instant::now();
        socket.ended().await;
        assert!(
            since.elapsed() < Duration::from_secs(15),
            "it took {:?}",
            since.elapsed()
        );
    }
    for record in world.usage(&user, 2).await {
        assert_eq!(
            (&record["closed_by"], &record["status"]),
            (&"provider".into(), &101.into()),
            "{record:#}"
        );
        assert_ne!(record["outcome"], "ok", "{record:#}");
        assert_eq!(record["audio_seconds_in"], 1.0, "{record:#}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_vanishes_frees_the_provider() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    listening(&world, &user).await.vanish();
    let half = listening(&world, &user).await;
    half.end_writing();
    let since = Instant::now();
    half.ended().await;
    assert!(
        since.elapsed() < Duration::from_secs(15),
        "it took {:?}",
        since.elapsed()
    );
    for call in 0..2 {
        let over = |seen: &Seen| seen.ending != Ending::Open;
        world
            .fakes
            .elevenlabs
            .until(&key, &format!("connection {call} ended"), over)
            .await;
    }
    for record in world.usage(&user, 2).await {
        talk::assert_ended(&record, None, "caller", "interrupted");
        assert_eq!(record["audio_seconds_in"], 1.0, "{record:#}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_is_said_before_the_upgrade() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.fakes.elevenlabs.treat(&key, Behaviour::CutBeforeHead);
    let dial = world.dial_as(&user, "elevenlabs", talk::REALTIME);
    dial.refused().await.says(502, "provider_unreachable");
    world.fakes.elevenlabs.hang_up();
    let dial = world.dial_as(&user, "elevenlabs", talk::REALTIME);
    dial.refused().await.says(502, "provider_unreachable");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_no_end() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let mut socket = listening(&world, &user).await;
    let silence = tokio::time::timeout(Duration::from_secs(8), socket.receive()).await;
    silence.expect_err("nothing is said while nothing happens");
    socket.ping(b"still there").await;
    assert_eq!(socket.receive().await, Received::Pong(b"still there".to_vec()));
    socket.close(1000, "").await.is(1000, "");
    world.end().await;
}
