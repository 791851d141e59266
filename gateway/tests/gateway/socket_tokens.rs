//! Tokens in the messages of a WebSocket: they let a caller in, and never go further.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use policies::vocabulary::ClosedBy;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::fixture::{Fixture, Options};
use crate::socket_fixture::{INPUT, Provider, close_frame, closing, hear, open, opened, say};

/// A provider that keeps every text it gets, and answers each with the same.
async fn listening() -> (Provider, Arc<Mutex<Vec<String>>>) {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let kept = texts.clone();
    let provider = Provider::start(&[], move |mut socket| {
        let kept = kept.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(text) = &message {
                    kept.lock().push(text.to_string());
                    socket.send(message).await.ok();
                }
            }
        }
    })
    .await;
    (provider, texts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_first_message_lets_the_caller_in_under_each_of_its_names() {
    let (provider, texts) = listening().await;
    let fixture = Fixture::to(provider.address).await;
    for (name, before) in [
        ("xi-api-key", ""),
        ("xi_api_key", ""),
        ("authorization", "Bearer "),
        ("single_use_token", ""),
    ] {
        let (mut socket, answer) = open(&fixture, INPUT, &[]).await.unwrap();
        assert!(answer.headers().contains_key("x-voxgate-request-id"));
        let token = &fixture.token;
        say(
            &mut socket,
            &format!("{{\"text\":\" \",\"{name}\":\"{before}{token}\"}}"),
        )
        .await;
        let echoed = hear(&mut socket).await.into_text().unwrap();
        let passed: serde_json::Value = serde_json::from_str(&echoed).unwrap();
        assert_eq!(passed, serde_json::json!({"text": " "}), "{name}");
        socket.close(Some(closing(1000, ""))).await.unwrap();
    }
    assert!(!texts.lock().concat().contains(&fixture.token));
    assert_eq!(fixture.usage(4).await[0].closed_by, Some(ClosedBy::Caller));
}

#[tokio::test(flavor = "multi_thread")]
async fn later_messages_lose_their_tokens_too_also_in_parts() {
    let (provider, texts) = listening().await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    let token = fixture.token.clone();
    for context in ["a", "b"] {
        let text = format!("{{\"context_id\":\"{context}\",\"xi_api_key\":\"{token}\",\"text\":\"x\"}}");
        say(&mut socket, &text).await;
        let passed = hear(&mut socket).await.into_text().unwrap();
        let passed: serde_json::Value = serde_json::from_str(&passed).unwrap();
        assert_eq!(passed, serde_json::json!({"context_id": context, "text": "x"}));
    }
    let text = format!("{{\"text\":\"y\",\"authorization\":\"Bearer {token}\"}}");
    let parts: Vec<_> = text.as_bytes().chunks(9).collect();
    for (nth, part) in parts.iter().enumerate() {
        let code = if nth == 0 { Data::Text } else { Data::Continue };
        let last = nth + 1 == parts.len();
        let frame = Frame::message(part.to_vec(), OpCode::Data(code), last);
        socket.send(Message::Frame(frame)).await.unwrap();
        socket.send(Message::Ping(vec![nth as u8].into())).await.unwrap();
    }
    let passed: serde_json::Value =
        serde_json::from_str(&hear(&mut socket).await.into_text().unwrap()).unwrap();
    assert_eq!(passed, serde_json::json!({"text": "y"}));
    assert!(!texts.lock().concat().contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_or_none_in_time_is_a_close_frame_that_says_so() {
    let (provider, _) = listening().await;
    let options = Options {
        socket_token_time: Duration::from_secs(1),
        ..Options::to(provider.address)
    };
    let fixture = options.start().await;
    for first in [
        Some("{\"text\":\" \",\"xi-api-key\":\"vxg_wrong\"}"),
        Some("{\"text\":\" \"}"),
        Some("no JSON"),
        None,
    ] {
        let (mut socket, _) = open(&fixture, INPUT, &[]).await.unwrap();
        if let Some(first) = first {
            say(&mut socket, first).await;
        }
        let (code, reason) = close_frame(&mut socket).await;
        assert_eq!(code, 1008, "{first:?}");
        assert!(reason.starts_with("unauthenticated: "), "{reason}");
    }
    assert!(provider.heads.lock().is_empty(), "the provider was asked");
    assert_eq!(fixture.refusals(4).await.len(), 4);
    assert!(fixture.usage(0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_first_message_is_cut_off() {
    let (provider, _) = listening().await;
    let fixture = Fixture::to(provider.address).await;
    let (mut socket, _) = open(&fixture, INPUT, &[]).await.unwrap();
    let head = FrameHeader {
        is_final: true,
        opcode: OpCode::Data(Data::Text),
        mask: Some([1, 2, 3, 4]),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::new();
    head.format(1 << 40, &mut bytes).unwrap();
    bytes.resize(bytes.len() + 100_000, b' ');
    socket.get_mut().write_all(&bytes).await.ok();
    let (code, reason) = close_frame(&mut socket).await;
    assert_eq!(
        (code, reason.starts_with("payload_too_large: ")),
        (1009, true),
        "{reason}"
    );
    assert!(provider.heads.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_says_to_a_held_caller_is_a_close_frame_as_well() {
    let provider = crate::provider::Provider::always(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 59\r\n\r\n\
         {\"detail\":{\"status\":\"invalid_api_key\",\"message\":\"Invalid\"}}",
    )
    .await;
    let fixture = Fixture::to(provider.address).await;
    let (mut socket, _) = open(&fixture, INPUT, &[]).await.unwrap();
    say(
        &mut socket,
        &format!("{{\"text\":\" \",\"xi_api_key\":\"{}\"}}", fixture.token),
    )
    .await;
    let (code, reason) = close_frame(&mut socket).await;
    assert_eq!(code, 1008);
    assert!(reason.starts_with("credential_invalid: "), "{reason}");
    let row = fixture.credential(|row| row.status.as_str() == "invalid").await;
    assert_eq!(row.status.as_str(), "invalid");
    assert_eq!(fixture.usage(1).await[0].status, Some(401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_could_be_read_in_two_ways_ends_the_connection_before_it_passes() {
    let (provider, texts) = listening().await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    say(&mut socket, "{\"text\":\"before\"}").await;
    hear(&mut socket).await;
    let text = format!("{{\"xi-api-key\":\"{}\"}}", fixture.token);
    let mut frame = Frame::message(text.into_bytes(), OpCode::Data(Data::Text), true);
    frame.header_mut().rsv1 = true;
    frame.header_mut().mask = Some([0, 0, 0, 0]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    socket.get_mut().write_all(&bytes).await.unwrap();
    let (code, reason) = close_frame(&mut socket).await;
    assert_eq!(code, 1002, "{reason}");
    assert_eq!(*texts.lock(), ["{\"text\":\"before\"}"]);
    let event = fixture.usage(1).await.remove(0);
    assert_eq!(
        (event.closed_by, event.close_code),
        (Some(ClosedBy::Gateway), Some(1002))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_never_ends_is_not_waited_for() {
    let (provider, texts) = listening().await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    let begun = Frame::message(b"{\"a\":1,".to_vec(), OpCode::Data(Data::Text), false);
    socket.send(Message::Frame(begun)).await.unwrap();
    for _ in 0..1_000 {
        let ping = socket.send(Message::Ping(vec![0; 125].into())).await;
        if ping.is_err() {
            break;
        }
    }
    let (code, reason) = close_frame(&mut socket).await;
    assert_eq!(
        (code, reason.as_str()),
        (1008, "invalid_request: a message is in too many parts to be read")
    );
    assert!(texts.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_binary_message_does_not_pass_either() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    let provider = Provider::start(&[], move |mut socket| {
        let kept = kept.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                kept.lock().push(message.clone().into_data().to_vec());
                socket.send(message).await.ok();
            }
        }
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let (mut socket, _) = open(&fixture, INPUT, &[]).await.unwrap();
    let token = &fixture.token;
    let first = format!("{{\"text\":\" \",\"xi_api_key\":\"{token}\"}}");
    socket.send(Message::binary(first.into_bytes())).await.unwrap();
    hear(&mut socket).await;
    socket
        .send(Message::binary(b"\x00\xffeyJ".to_vec()))
        .await
        .unwrap();
    assert_eq!(hear(&mut socket).await, Message::binary(b"\x00\xffeyJ".to_vec()));
    let heard = heard.lock().concat();
    assert!(!String::from_utf8_lossy(&heard).contains(token.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_begins_as_json_and_is_none_is_refused() {
    let (provider, texts) = listening().await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    say(&mut socket, "{\"a\":undefined,\"xi-api-key\":\"other\"}").await;
    let (code, reason) = close_frame(&mut socket).await;
    assert_eq!(code, 1007);
    assert_eq!(reason, "invalid_request: a message begins as JSON and is none");
    assert!(texts.lock().is_empty());
    assert_eq!(fixture.refusals(1).await.len(), 1);
}
