//! What passes through an open WebSocket unchanged, in both directions, and what neither side can make the other pay.

use std::time::Duration;

use crate::fakes::seen::Spoken;
use crate::fakes::sockets::{Act, Conduct};
use crate::fakes::{Behaviour, Seen};
use crate::harness::socket::{BINARY, Received, Socket, TEXT};
use crate::harness::{User, World, talk};

async fn with_conduct(world: &World, provider: &str, conduct: Conduct) -> (User, String) {
    let user = world.user("ann").await;
    let key = world.stored_key(&user, provider).await;
    for fake in world.fakes.of(provider) {
        fake.treat(&key, Behaviour::Socket(conduct.clone()));
    }
    (user, key)
}

/// A socket of Azure's for recognition, where frames of both kinds belong.
async fn azure(world: &World, user: &User) -> Socket {
    let dial = world.dial_as(user, "azure", talk::AZURE_RECOGNITION);
    dial.header("X-ConnectionId", &"a".repeat(32)).open().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_both_kinds_and_every_size_come_back_as_they_went() {
    let world = talk::world(&[]).await;
    let (user, key) = with_conduct(&world, "azure", Act::Echo.after(0)).await;
    let mut socket = azure(&world, &user).await;
    let mut sent = 0;
    for size in [0, 1, 125, 126, 65_535, 65_536, 3_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
        socket.send_bytes(&bytes).await;
        assert_eq!(socket.message().await, Received::Bytes(bytes.clone()), "{size}");
        socket.send_in_pieces(BINARY, &bytes, (size / 3).max(1)).await;
        if size > 0 {
            assert_eq!(socket.message().await, Received::Bytes(bytes), "{size} in pieces");
            sent += 1;
        }
        let text: String = "Grüße, 你好. ".chars().cycle().take(size).collect();
        socket.send_text(&text).await;
        assert_eq!(socket.message().await, Received::Text(text), "{size}");
        sent += 2;
    }
    socket.close(1000, "").await.is(1000, "");
    let seen = world
        .fakes
        .azure_stt
        .last_call(&key)
        .socket
        .expect("it was upgraded");
    assert_eq!(seen.heard, sent);
    let record = &world.usage(&user, 1).await[0];
    assert_eq!(
        (record["messages_in"].as_u64(), record["messages_out"].as_u64()),
        (Some(sent), Some(sent))
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_many_pieces_stay_whole_and_scrubbed_ones_too() {
    let world = talk::world(&[]).await;
    let (user, key) = with_conduct(&world, "elevenlabs", Act::Echo.after(0)).await;
    let mut socket = world.dial_as(&user, "elevenlabs", &talk::speech()).open().await;
    let plain = r#"{"text" : "spaces\u0020and \"quotes\" stay as they were" }"#;
    for size in [1, 2, 7, 1_000] {
        socket.send_in_pieces(TEXT, plain.as_bytes(), size).await;
        assert_eq!(socket.message().await, Received::Text(plain.to_owned()), "{size}");
    }
    let hidden = format!(r#"{{"text":" ","xi\u005fapi_key":"{}"}}"#, user.token);
    socket.send_text(&hidden).await;
    let Received::Text(scrubbed) = socket.message().await else {
        panic!("text comes back as text")
    };
    let scrubbed: serde_json::Value = serde_json::from_str(&scrubbed).expect("JSON");
    assert_eq!(
        scrubbed,
        serde_json::json!({"text": " "}),
        "also where the name is escaped"
    );
    socket.close(1000, "").await;
    let seen = world
        .fakes
        .elevenlabs
        .last_call(&key)
        .socket
        .expect("it was upgraded");
    assert_eq!(seen.messages[0], Spoken::Text(plain.to_owned()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_pongs_pass_both_ways() {
    let world = talk::world(&[]).await;
    let (user, key) = with_conduct(&world, "azure", Act::Ping(b"from the provider".to_vec()).after(1)).await;
    let mut socket = azure(&world, &user).await;
    socket.ping(b"from the caller").await;
    assert_eq!(
        socket.receive().await,
        Received::Pong(b"from the caller".to_vec())
    );
    socket.send_text(&talk::usp_config()).await;
    assert_eq!(
        socket.receive().await,
        Received::Ping(b"from the provider".to_vec())
    );
    socket.send_frame(0x8a, b"from the provider").await;
    let ponged = |call: &Seen| {
        call.socket
            .as_ref()
            .is_some_and(|socket| !socket.pongs.is_empty())
    };
    let seen = world.fakes.azure_stt.until(&key, "the pong came", ponged).await;
    let seen = seen.socket.expect("it was upgraded");
    assert_eq!(seen.pongs, [b"from the provider"]);
    assert_eq!(seen.pings, [b"from the caller"]);
    socket.close(1000, "").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closes_pass_both_ways_with_code_and_reason() {
    let world = talk::world(&[]).await;
    let (user, key) = with_conduct(
        &world,
        "azure",
        Act::close(4_321, "of the provider's making").after(1),
    )
    .await;
    let mut socket = azure(&world, &user).await;
    socket.send_text(&talk::usp_config()).await;
    socket.closed().await.is(4_321, "of the provider's making");

    world.fakes.azure_stt.treat(&key, Behaviour::Normal);
    let socket = azure(&world, &user).await;
    socket
        .close(4_322, "of the caller's making, très bien")
        .await
        .is(4_322, "of the caller's making, très bien");
    let closed = |call: &Seen| call.socket.as_ref().is_some_and(|socket| socket.closed.is_some());
    let seen = world.fakes.azure_stt.until(&key, "the close came", closed).await;
    let closed = seen.socket.and_then(|socket| socket.closed).expect("a close");
    assert_eq!(
        (closed.code, closed.reason.as_str()),
        (Some(4_322), "of the caller's making, très bien")
    );
    let mut by: Vec<String> = world
        .usage(&user, 2)
        .await
        .iter()
        .map(|record| record["closed_by"].to_string())
        .collect();
    by.sort();
    assert_eq!(by, ["\"caller\"", "\"provider\""]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compression_is_not_negotiated() {
    let world = talk::world(&[]).await;
    let (user, _) = with_conduct(&world, "elevenlabs", Act::Echo.after(0)).await;
    let dial = world.dial_as(&user, "elevenlabs", &talk::speech());
    let socket = dial
        .header(
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        )
        .open()
        .await;
    assert_eq!(socket.head.header("sec-websocket-extensions"), None);
    socket.close(1000, "").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_no_caller_may_send_are_not_passed_on() {
    let world = talk::world(&[]).await;
    let (user, key) = with_conduct(&world, "elevenlabs", Act::Echo.after(0)).await;
    for (what, first, payload) in [
        ("a reserved bit", 0xc0 | TEXT, &b"{}"[..]),
        ("an unknown kind", 0x83, b"{}"),
        ("a continuation of nothing", 0x80, b"{}"),
        ("half a ping", 0x09, b"x"),
    ] {
        let mut socket = world.dial_as(&user, "elevenlabs", &talk::speech()).open().await;
        socket.send_frame(first, payload).await;
        let close = socket.ended().await;
        assert_eq!(close.and_then(|close| close.code), Some(1002), "{what}");
        let seen = world
            .fakes
            .elevenlabs
            .last_call(&key)
            .socket
            .expect("it was upgraded");
        assert_eq!(seen.heard, 0, "{what} was passed on");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_read_holds_the_caller_back() {
    let world = talk::world(&[]).await;
    let (user, _) = with_conduct(&world, "azure", Act::StopReading.after(1)).await;
    let mut socket = azure(&world, &user).await;
    socket.send_text(&talk::usp_config()).await;
    let before = world.node().memory();
    let much = vec![7; 1 << 20];
    let flood = async {
        for _ in 0..128 {
            socket.send_bytes(&much).await;
        }
    };
    let flooding = tokio::time::timeout(Duration::from_secs(3), flood).await;
    flooding.expect_err("nobody takes 128 MiB");
    let grown = world.node().memory().saturating_sub(before);
    assert!(grown < 16 << 20, "the gateway holds {grown} bytes more");
    socket.vanish();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_does_not_read_holds_the_provider_back() {
    let world = talk::world(&[]).await;
    let much = "a".repeat(1 << 20);
    let act = Act::Say {
        messages: vec![much; 128],
        then: None,
    };
    let (user, key) = with_conduct(&world, "azure", act.after(1)).await;
    let mut socket = azure(&world, &user).await;
    let before = world.node().memory();
    socket.send_text(&talk::usp_config()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = world
        .fakes
        .azure_stt
        .last_call(&key)
        .socket
        .expect("it was upgraded")
        .said;
    assert!(said < 64, "{said} MiB went nowhere");
    let grown = world.node().memory().saturating_sub(before);
    assert!(grown < 16 << 20, "the gateway holds {grown} bytes more");
    for _ in 0..128 {
        assert!(matches!(socket.message().await, Received::Text(text) if text.len() == 1 << 20));
    }
    socket.close(1000, "").await;
    world.end().await;
}
