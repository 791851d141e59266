//! Bodies that are too large, awaited or answered early, pages of other origins, and the health calls.

use std::time::{Duration, Instant};

use policies::vocabulary::Outcome;

use crate::fixture::{Fixture, LISTEN, Options, SPEAK, client};
use crate::provider::Provider;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn small() -> (Provider, Fixture) {
    let provider = Provider::always(OK).await;
    let mut options = Options::to(provider.address);
    options.max_body_bytes = 1000;
    let fixture = options.start().await;
    (provider, fixture)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_announced_too_large_is_refused_before_anything_goes_upstream() {
    let (provider, fixture) = small().await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "content-length: 1001\r\n"))
        .await;
    wire.until("x-voxgate-error: payload_too_large").await;
    assert!(wire.received.starts_with(b"HTTP/1.1 413"));
    assert_eq!(provider.connections(), 0);
    assert_eq!(
        fixture
            .request("POST", LISTEN)
            .body(vec![0; 1000])
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_grows_too_large_is_refused_and_the_upstream_call_cut() {
    let (_provider, fixture) = small().await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "transfer-encoding: chunked\r\n"))
        .await;
    for _ in 0..11 {
        wire.send(format!("64\r\n{}\r\n", "x".repeat(100))).await;
    }
    wire.until("x-voxgate-error: payload_too_large").await;
    assert!(wire.received.starts_with(b"HTTP/1.1 413"));
    let event = fixture.usage(1).await.remove(0);
    assert_eq!((event.outcome, event.status), (Outcome::Error, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_is_refused() {
    let (_provider, fixture) = small().await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "transfer-encoding: chunked\r\n"))
        .await;
    wire.send("zz\r\nwhat\r\n").await;
    wire.until("x-voxgate-error: invalid_request").await;
    fixture.usage(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_is_said_once_the_call_is_decided_and_not_before() {
    let provider = Provider::start(|mut call| async move {
        assert_eq!(call.header("expect"), None);
        call.body().await;
        call.send(OK.as_bytes()).await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "expect: 100-continue\r\ncontent-length: 5\r\n"))
        .await;
    wire.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    wire.send("hello").await;
    wire.until("HTTP/1.1 200 OK").await;

    let began = Instant::now();
    let mut wire = fixture.connect().await;
    wire.send(format!(
        "POST {LISTEN} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
    ))
    .await;
    wire.until("x-voxgate-error: unauthenticated").await;
    assert!(
        wire.received.starts_with(b"HTTP/1.1 401"),
        "{:?}",
        String::from_utf8_lossy(&wire.received)
    );
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_during_the_upload_is_passed_on() {
    let provider = Provider::start(|mut call| async move {
        assert!(call.more().await);
        call.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\nconnection: close\r\n\r\ntoo odd")
            .await;
        None
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "content-length: 50000000\r\n"))
        .await;
    let chunk = vec![1; 1 << 16];
    for _ in 0..100 {
        wire.send(&chunk).await;
    }
    wire.until("too odd").await;
    assert!(wire.received.starts_with(b"HTTP/1.1 400"));
    let event = fixture.usage(1).await.remove(0);
    assert_eq!((event.outcome, event.status), (Outcome::Error, Some(400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_caller_in_the_middle_of_a_large_upload() {
    let (_provider, fixture) = small().await;
    let answer = client()
        .post(fixture.url(LISTEN))
        .body(vec![0; 8 << 20])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_may_call() {
    let provider =
        Provider::always("HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 2\r\n\r\nok")
            .await;
    let mut options = Options::to(provider.address);
    options.cors_origins = vec!["https://app.example.com".into()];
    let fixture = options.start().await;
    let client = client();
    let ask = |origin: &'static str| {
        let asked = client
            .request("OPTIONS".parse().unwrap(), fixture.url(SPEAK))
            .header("origin", origin);
        let asked = asked.header("access-control-request-method", "POST");
        asked
            .header("access-control-request-headers", "xi-api-key, content-type")
            .send()
    };
    let answer = ask("https://app.example.com").await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://app.example.com"
    );
    assert_eq!(
        answer.headers()["access-control-allow-headers"],
        "xi-api-key, content-type"
    );
    let answer = ask("https://evil.example.com").await.unwrap();
    assert!(
        answer.status().is_client_error() && !answer.headers().contains_key("access-control-allow-origin")
    );

    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://evil.example.com", false),
    ] {
        let answer = fixture
            .request("POST", SPEAK)
            .header("origin", origin)
            .body("{}")
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.headers().contains_key("access-control-allow-origin"),
            allowed,
            "{origin}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_token() {
    let (_provider, fixture) = small().await;
    let client = client();
    let alive = client.get(fixture.url("/healthz")).send().await.unwrap();
    assert!(alive.headers().contains_key("x-voxgate-request-id"));
    assert_eq!(alive.text().await.unwrap(), "ok\n");
    assert_eq!(
        client.get(fixture.url("/readyz")).send().await.unwrap().status(),
        200
    );
    fixture.vault.clone().close().await;
    assert_eq!(
        client.get(fixture.url("/readyz")).send().await.unwrap().status(),
        503
    );
    assert_eq!(
        client.get(fixture.url("/healthz")).send().await.unwrap().status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_that_dashboards_use() {
    let (_provider, fixture) = small().await;
    fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    fixture.usage(1).await;
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&fixture.registry.gather())
        .unwrap();
    for line in [
        r#"voxgate_requests_total{credential="user",mode="native",operation="tts",outcome="ok",provider="elevenlabs"} 1"#,
        r#"voxgate_request_duration_seconds_count{operation="tts",provider="elevenlabs"} 1"#,
        r#"voxgate_time_to_first_byte_seconds_count{operation="tts",provider="elevenlabs"} 1"#,
        r#"voxgate_gateway_overhead_seconds_count{operation="tts",provider="elevenlabs"} 1"#,
        r#"voxgate_active_streams{kind="http",provider="elevenlabs"} 0"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_who_is_known_goes_on_and_who_is_not_comes_back_later() {
    let (_provider, fixture) = small().await;
    assert_eq!(
        fixture
            .request("POST", SPEAK)
            .body("{}")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let stranger = vault::token::mint(&vault::SystemChance).unwrap();
    fixture.vault.clone().close().await;
    assert_eq!(
        fixture
            .request("POST", SPEAK)
            .body("{}")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let asked = client()
        .post(fixture.url(SPEAK))
        .header("xi-api-key", stranger.expose())
        .body("{}");
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["x-voxgate-error"], "overloaded");
    assert!(answer.headers().contains_key("retry-after"));
}
