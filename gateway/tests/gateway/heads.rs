//! Request heads: limits in time and size, and forms that two readers could read differently.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::fixture::{Fixture, Options, Wire};
use crate::provider::Provider;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn gateway() -> (Provider, Fixture) {
    let provider = Provider::always(OK).await;
    let mut options = Options::to(provider.address);
    options.head_timeout = Duration::from_millis(600);
    let fixture = options.start().await;
    (provider, fixture)
}

async fn drip(wire: &mut Wire) -> Duration {
    let began = Instant::now();
    for byte in "GET /healthz HTTP/1.1\r\nhost: x\r\n".bytes() {
        wire.send([byte]).await;
        sleep(Duration::from_millis(50)).await;
        if began.elapsed() > Duration::from_millis(900) {
            break;
        }
    }
    let (text, _) = wire.rest().await;
    assert!(
        text.contains("400 Bad Request") && text.contains("did not arrive in time"),
        "{text}"
    );
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_drip_is_ended_also_on_a_reused_connection() {
    let (_provider, fixture) = gateway().await;
    let mut wire = fixture.connect().await;
    assert!(drip(&mut wire).await < Duration::from_secs(2));
    let mut wire = fixture.connect().await;
    wire.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    wire.until("ok\n").await;
    assert!(drip(&mut wire).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_may_be_silent_for_longer_than_a_head() {
    let (_provider, fixture) = gateway().await;
    let mut wire = fixture.connect().await;
    for _ in 0..2 {
        sleep(Duration::from_millis(900)).await;
        wire.received.clear();
        wire.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        wire.until("ok\n").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_heads_are_refused_and_nothing_goes_upstream() {
    let (provider, fixture) = gateway().await;
    let token = format!("xi-api-key: {}\r\n", fixture.token);
    let large = format!("x-large: {}\r\n", "x".repeat(70_000));
    let huge = format!("x-huge: {}\r\n", "x".repeat(1 << 20));
    let cases = [
        (
            "no host",
            format!("GET /elevenlabs/v1/voices HTTP/1.1\r\n{token}\r\n"),
        ),
        (
            "two hosts",
            format!("GET /elevenlabs/v1/voices HTTP/1.1\r\nhost: a\r\nhost: b\r\n{token}\r\n"),
        ),
        (
            "CONNECT",
            format!("CONNECT api.elevenlabs.io:443 HTTP/1.1\r\nhost: api.elevenlabs.io:443\r\n{token}\r\n"),
        ),
        (
            "absolute",
            format!("GET http://x/elevenlabs/v1/voices HTTP/1.1\r\nhost: x\r\n{token}\r\n"),
        ),
        (
            "two lengths",
            format!(
                "POST /elevenlabs/v1/speech-to-text HTTP/1.1\r\nhost: x\r\n{token}content-length: 1\r\ncontent-length: 2\r\n\r\n"
            ),
        ),
        (
            "odd coding",
            format!(
                "POST /elevenlabs/v1/speech-to-text HTTP/1.1\r\nhost: x\r\n{token}transfer-encoding: gzip\r\n\r\n"
            ),
        ),
        (
            "large",
            format!("GET /elevenlabs/v1/voices HTTP/1.1\r\nhost: x\r\n{token}{large}\r\n"),
        ),
        (
            "huge",
            format!("GET /elevenlabs/v1/voices HTTP/1.1\r\nhost: x\r\n{token}{huge}\r\n"),
        ),
        ("not HTTP", "\x16\x03\x01 what\r\n\r\n".to_owned()),
    ];
    for (name, head) in cases {
        let mut wire = fixture.connect().await;
        wire.send(head).await;
        wire.until("\r\n\r\n").await;
        let text = String::from_utf8_lossy(&wire.received).into_owned();
        assert!(text.starts_with("HTTP/1.1 400"), "{name}: {text}");
        assert!(
            text.contains("x-voxgate-error: invalid_request"),
            "{name}: {text}"
        );
    }
    assert_eq!(provider.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn length_beside_chunks_means_chunks_and_a_closed_connection() {
    let provider = Provider::start(|mut call| async move {
        assert!(call.header("content-length").is_none());
        let body = call.body().await;
        call.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes())
            .await;
        call.send(&body).await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    let more = "content-length: 3\r\ntransfer-encoding: chunked\r\n";
    wire.send(fixture.head("POST", "/elevenlabs/v1/speech-to-text", more))
        .await;
    wire.send("5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")
        .await;
    let (text, _) = wire.rest().await;
    assert!(text.ends_with("hello"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_said_twice_goes_upstream_once() {
    let (provider, fixture) = gateway().await;
    for more in [
        "content-length: 5\r\ncontent-length: 5\r\nconnection: close\r\n",
        "content-length: 5, 5\r\nconnection: close\r\n",
    ] {
        let mut wire = fixture.connect().await;
        wire.send(fixture.head("POST", "/elevenlabs/v1/speech-to-text", more))
            .await;
        wire.send("hello").await;
        let (text, _) = wire.rest().await;
        assert!(text.ends_with("\r\n\r\nok"), "{more}: {text}");
    }
    assert!(provider.connections() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let (_provider, fixture) = gateway().await;
    let mut wire = fixture.connect().await;
    let first = fixture.head("GET", "/elevenlabs/v1/voices", "");
    wire.send(format!("{first}GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n{first}"))
        .await;
    wire.until("ok\n").await;
    wire.until("ok\nHTTP/1.1 200 OK").await;
    fixture.usage(2).await;
}
