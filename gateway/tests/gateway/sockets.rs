//! WebSockets through the gateway: what passes, and what is on record of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use policies::vocabulary::{ClosedBy, Outcome};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::fixture::{Fixture, KEY, Options, resident_bytes};
use crate::socket_fixture::{
    INPUT, PATIENCE, Provider, close_frame, closing, hear, heard, open, opened, say,
};

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_any_kind_and_size_pass_both_ways_in_their_order() {
    let provider = Provider::echo().await;
    let fixture = Fixture::to(provider.address).await;
    let socket = opened(&fixture, INPUT).await;
    let messages = [
        Message::text("{\"text\":\"hello\"}"),
        Message::binary(vec![0xff; 3]),
        Message::text("not JSON, and passes as it is"),
        Message::binary(Vec::new()),
        Message::text("\"ü\"".repeat(100_000)),
        Message::binary((0..5_000_000u32).map(|nth| nth as u8).collect::<Vec<_>>()),
    ];
    let (mut to, mut from) = socket.split();
    let sent = messages.clone();
    let sending = tokio::spawn(async move {
        for message in sent {
            to.send(message).await.unwrap();
        }
        to
    });
    for message in messages {
        let echoed = timeout(PATIENCE, from.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(echoed, message);
    }
    let mut socket = from.reunite(sending.await.unwrap()).unwrap();
    socket.close(Some(closing(1000, "done"))).await.unwrap();
    assert_eq!(close_frame(&mut socket).await, (1000, "done".to_owned()));
    let event = fixture.usage(1).await.remove(0);
    assert_eq!((event.status, event.outcome), (Some(101), Outcome::Ok));
    assert_eq!((event.messages_in, event.messages_out), (Some(6), Some(6)));
    assert_eq!(
        (event.close_code, event.closed_by),
        (Some(1000), Some(ClosedBy::Caller))
    );
    assert!(event.bytes_in > 5_000_000 && event.bytes_out > 5_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_takes_the_tokens_place_and_compression_is_not_offered() {
    let provider = Provider::echo().await;
    let fixture = Fixture::to(provider.address).await;
    let token = fixture.token.clone();
    let query = format!("{INPUT}?model_id=eleven_flash_v2_5&single_use_token={token}");
    let headers = [(
        "sec-websocket-extensions",
        "permessage-deflate; client_max_window_bits",
    )];
    let (mut socket, answer) = open(&fixture, &query, &headers).await.unwrap();
    assert!(!answer.headers().contains_key("sec-websocket-extensions"));
    assert_eq!(answer.headers()["x-voxgate-provider"], "elevenlabs");
    assert_eq!(answer.headers()["x-voxgate-credential"], "user");
    say(&mut socket, "{}").await;
    hear(&mut socket).await;
    let head = provider.heads.lock()[0].clone();
    assert!(head.starts_with("/v1/text-to-speech/anna/stream-input?model_id=eleven_flash_v2_5\n"));
    assert!(head.contains(&format!("xi-api-key: {KEY}\n")));
    assert!(!head.contains(&token) && !head.contains("deflate"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_pongs_pass_both_ways() {
    let provider = Provider::start(&[], |mut socket| async move {
        socket
            .send(Message::Ping(Bytes::from_static(b"from the provider")))
            .await
            .unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Pong(payload) = message {
                socket.send(Message::Binary(payload)).await.unwrap();
            }
        }
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    socket
        .send(Message::Ping(Bytes::from_static(b"from the caller")))
        .await
        .unwrap();
    let (mut pinged, mut ponged, mut echoed) = (false, false, false);
    while !(pinged && ponged && echoed) {
        match heard(&mut socket).await.unwrap().unwrap() {
            Message::Ping(payload) => pinged = payload.as_ref() == b"from the provider",
            Message::Pong(payload) => ponged = payload.as_ref() == b"from the caller",
            Message::Binary(payload) => echoed = payload.as_ref() == b"from the provider",
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subprotocol_is_the_providers_to_choose_and_ours_if_it_chooses_none() {
    let provider = Provider::start(&[("sec-websocket-protocol", "USP")], crate::socket_fixture::echo).await;
    let fixture = Fixture::to(provider.address).await;
    let token = fixture.token.clone();
    let offered = format!("USP, voxgate, voxgate.{token}");
    let headers = [("sec-websocket-protocol", offered.as_str())];
    let (_socket, answer) = open(&fixture, INPUT, &headers).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "USP");
    assert!(provider.heads.lock()[0].contains("sec-websocket-protocol: USP\n"));

    let provider = Provider::echo().await;
    let fixture = Fixture::to(provider.address).await;
    let offered = format!("voxgate, voxgate.{}", fixture.token);
    let headers = [("sec-websocket-protocol", offered.as_str())];
    let (_socket, answer) = open(&fixture, INPUT, &headers).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "voxgate");
    assert!(!provider.heads.lock()[0].contains("sec-websocket-protocol"));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_handshakes_at_once_all_succeed() {
    let provider = Provider::echo().await;
    let fixture = Arc::new(Fixture::to(provider.address).await);
    let one = |nth: usize| {
        let fixture = fixture.clone();
        async move {
            let mut socket = opened(&fixture, INPUT).await;
            say(&mut socket, &format!("{nth}")).await;
            assert_eq!(hear(&mut socket).await, Message::text(format!("{nth}")));
            socket.close(None).await.unwrap();
        }
    };
    futures::future::join_all((0..300).map(one)).await;
    let sums = fixture.usage_count(300).await;
    assert_eq!(sums, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_the_upgrade_passes_as_it_is_and_marks_the_key() {
    let provider = crate::provider::Provider::always(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 59\r\n\r\n\
         {\"detail\":{\"status\":\"invalid_api_key\",\"message\":\"Invalid\"}}",
    )
    .await;
    let fixture = Fixture::to(provider.address).await;
    let token = fixture.token.clone();
    let Err(Error::Http(answer)) = open(&fixture, INPUT, &[("xi-api-key", &token)]).await else {
        panic!("a WebSocket was opened");
    };
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["x-voxgate-error"], "credential_invalid");
    let row = fixture.credential(|row| row.status.as_str() == "invalid").await;
    assert_eq!(row.status.as_str(), "invalid");
    let event = fixture.usage(1).await.remove(0);
    assert_eq!((event.status, event.outcome), (Some(401), Outcome::Error));
    assert_eq!(event.messages_in, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_without_a_valid_token_or_in_another_way_gets_a_plain_answer() {
    let provider = Provider::echo().await;
    let fixture = Fixture::to(provider.address).await;
    let token = fixture.token.clone();
    for (path, headers, status, code) in [
        (INPUT, vec![("xi-api-key", "wrong")], 401, "unauthenticated"),
        (
            "/elevenlabs/v1/speech-to-text/realtime",
            vec![],
            401,
            "unauthenticated",
        ),
        (
            "/elevenlabs/v1/history",
            vec![("xi-api-key", token.as_str())],
            403,
            "forbidden_endpoint",
        ),
        (
            INPUT,
            vec![("xi-api-key", token.as_str()), ("sec-websocket-version", "8")],
            400,
            "invalid_request",
        ),
    ] {
        let Err(Error::Http(answer)) = open(&fixture, path, &headers).await else {
            panic!("a WebSocket was opened at {path}");
        };
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["x-voxgate-error"], code);
        assert!(answer.headers().contains_key("x-voxgate-request-id"));
    }
    assert!(provider.heads.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_does_not_read_slows_its_provider_down() {
    let sent = Arc::new(AtomicU64::new(0));
    let provider = {
        let sent = sent.clone();
        Provider::start(&[], move |mut socket| {
            let sent = sent.clone();
            async move {
                let chunk = Bytes::from(vec![7; 64 * 1024]);
                while socket.send(Message::Binary(chunk.clone())).await.is_ok() {
                    sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                }
            }
        })
        .await
    };
    let fixture = Fixture::to(provider.address).await;
    let before = resident_bytes();
    let mut socket = opened(&fixture, INPUT).await;
    let mut settled = 0;
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        let now = sent.load(Ordering::SeqCst);
        if now > 0 && now == settled {
            break;
        }
        settled = now;
    }
    assert_eq!(
        sent.load(Ordering::SeqCst),
        settled,
        "the provider is never slowed down"
    );
    // Sockets hold some megabytes on their way; the gateway holds none of it.
    assert!(resident_bytes().saturating_sub(before) < 32 << 20);
    for _ in 0..(settled / (64 * 1024) + 100) {
        hear(&mut socket).await;
    }
    assert!(sent.load(Ordering::SeqCst) > settled, "it does not go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_read_slows_its_caller_down_and_still_is_heard() {
    let provider = Provider::start(&[], |mut socket| async move {
        for _ in 0..200 {
            sleep(Duration::from_millis(10)).await;
            socket.send(Message::text("still here")).await.unwrap();
        }
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let socket = opened(&fixture, INPUT).await;
    let (mut to, mut from) = socket.split();
    let sending = tokio::spawn(async move {
        let chunk = Bytes::from(vec![7; 64 * 1024]);
        for _ in 0..500 {
            to.send(Message::Binary(chunk.clone())).await.unwrap();
        }
    });
    for _ in 0..200 {
        let message = timeout(PATIENCE, from.next()).await.unwrap();
        assert_eq!(message.unwrap().unwrap(), Message::text("still here"));
    }
    timeout(PATIENCE, sending).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_long_connection_has_used_is_on_record_while_it_is_open() {
    let provider = Provider::echo().await;
    let options = Options {
        socket_record_every: Duration::from_secs(1),
        ..Options::to(provider.address)
    };
    let fixture = options.start().await;
    let mut socket = opened(&fixture, INPUT).await;
    say(&mut socket, "{\"text\":\"hello\"}").await;
    hear(&mut socket).await;
    let open = fixture.usage(1).await.remove(0);
    assert_eq!(
        (open.outcome, open.closed_by, open.characters),
        (Outcome::Interrupted, None, Some(5))
    );
    say(&mut socket, "{\"text\":\"again\"}").await;
    hear(&mut socket).await;
    socket.close(None).await.unwrap();
    let closed = fixture.usage_once(|event| event.closed_by.is_some()).await;
    assert_eq!((closed.id, closed.at), (open.id, open.at));
    assert_eq!((closed.outcome, closed.characters), (Outcome::Ok, Some(10)));
    assert_eq!(closed.close_code, Some(1005));
}
