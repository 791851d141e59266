//! What callers are told: by us in the dialect of the path, and by the provider with our verdict beside it.

use std::time::Duration;

use policies::vocabulary::{Code, CredentialStatus, Outcome};
use serde_json::Value;

use crate::fixture::{Fixture, KEY, Options, PROVIDER, SPEAK, client};
use crate::provider::Provider;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn error_of(answer: reqwest::Response) -> (u16, String, Value) {
    let code = answer.headers()["x-voxgate-error"].to_str().unwrap().to_owned();
    let status = answer.status().as_u16();
    (status, code, answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_speak_the_dialect_and_are_on_record() {
    let provider = Provider::always(OK).await;
    let fixture = Fixture::to(provider.address).await;
    let client = client();
    let cases = [
        (client.post(fixture.url(SPEAK)), 401, "unauthenticated"),
        (
            client.post(fixture.url(SPEAK)).header("xi-api-key", "vxg_wrong"),
            401,
            "unauthenticated",
        ),
        (
            fixture.request("GET", "/elevenlabs/v1/history"),
            403,
            "forbidden_endpoint",
        ),
        (
            fixture.request("GET", "/nobody/v1/voices"),
            404,
            "unknown_provider",
        ),
        (fixture.request("POST", "/v1/voices"), 404, "not_found"),
        (
            fixture
                .request("GET", SPEAK)
                .header("connection", "upgrade")
                .header("upgrade", "websocket"),
            403,
            "forbidden_endpoint",
        ),
    ];
    for (request, status, code) in cases {
        let (found, header, body) = error_of(request.send().await.unwrap()).await;
        assert_eq!((found, header.as_str()), (status, code), "{body}");
        assert!(!body.to_string().is_empty());
    }
    let (_, _, body) = error_of(client.post(fixture.url(SPEAK)).send().await.unwrap()).await;
    assert_eq!(body["detail"]["status"], "unauthenticated");
    assert_eq!(provider.connections(), 0);
    let refusals = fixture.refusals(7).await;
    assert_eq!(refusals.len(), 7);
    assert_eq!(
        refusals.iter().filter(|event| event.user.is_some()).count(),
        2,
        "{refusals:#?}"
    );
    assert!(
        refusals
            .iter()
            .all(|event| event.ip.is_some() && !format!("{event:?}").contains("vxg_"))
    );
    fixture.usage(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_the_caller_is_sent_to_the_console() {
    let provider = Provider::always(OK).await;
    let mut options = Options::to(provider.address);
    options.with_key = false;
    let fixture = options.start().await;
    let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    let url = format!("http://console.test/providers/{PROVIDER}");
    assert_eq!(answer.headers()["x-voxgate-setup-url"], url.as_str());
    let (status, code, body) = error_of(answer).await;
    assert_eq!((status, code.as_str()), (424, "credential_missing"));
    assert_eq!(body["detail"]["setup_url"], url);
}

const REFUSED: &str = r#"{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}"#;
const EXHAUSTED: &str =
    r#"{"detail":{"status":"quota_exceeded","message":"This request exceeds your quota."}}"#;

/// Refuses as `x-answer` asks.
async fn moody_provider() -> Provider {
    Provider::start(|mut call| async move {
        call.body().await;
        let body = match call.header("x-answer") {
            Some("refused") => REFUSED,
            Some("exhausted") => EXHAUSTED,
            _ => "ok",
        };
        let status = if body == "ok" {
            "200 OK"
        } else {
            "401 Unauthorized"
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        call.send(head.as_bytes()).await;
        call.send(body.as_bytes()).await;
        Some(call)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_marked_and_a_success_heals_it() {
    let provider = moody_provider().await;
    let fixture = Fixture::to(provider.address).await;
    let ask = |mood: &'static str| {
        fixture
            .request("POST", SPEAK)
            .header("x-answer", mood)
            .body("{}")
            .send()
    };

    let answer = ask("refused").await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["x-voxgate-error"], "credential_invalid");
    assert_eq!(
        answer.headers()["x-voxgate-setup-url"],
        "http://console.test/providers/elevenlabs"
    );
    assert_eq!(answer.text().await.unwrap(), REFUSED);
    let row = fixture
        .credential(|row| row.status == CredentialStatus::Invalid)
        .await;
    assert_eq!(
        (row.status, row.status_reason),
        (CredentialStatus::Invalid, Some(Code::CredentialInvalid))
    );

    assert_eq!(ask("fine").await.unwrap().status(), 200);
    let row = fixture
        .credential(|row| row.status == CredentialStatus::Valid)
        .await;
    assert_eq!((row.status, row.status_reason), (CredentialStatus::Valid, None));

    let answer = ask("exhausted").await.unwrap();
    assert_eq!(answer.headers()["x-voxgate-error"], "provider_quota_exceeded");
    let row = fixture.credential(|row| row.status_reason.is_some()).await;
    assert_eq!(
        (row.status, row.status_reason),
        (CredentialStatus::Valid, Some(Code::ProviderQuotaExceeded))
    );
    let outcomes: Vec<_> = fixture.usage(3).await.iter().map(|event| event.outcome).collect();
    assert_eq!(outcomes, [Outcome::Error, Outcome::Ok, Outcome::Error]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_repeats_the_key_is_not_quoted() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        let key = call.header("xi-api-key").unwrap().to_owned();
        let (first, second) = key.split_at(9);
        let length = 2 * key.len() + 2;
        let head = format!(
            "HTTP/1.1 401 no {key}\r\nx-echo: key={key}\r\ncontent-length: {length}\r\n\r\n{key}: {first}"
        );
        call.send(head.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        call.send(second.as_bytes()).await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("GET", "/elevenlabs/v1/voices", "connection: close\r\n"))
        .await;
    let (text, _) = wire.rest().await;
    assert!(text.starts_with("HTTP/1.1 401 ") && !text.contains(KEY), "{text}");
    let stars = "*".repeat(KEY.len());
    assert!(text.ends_with(&format!("\r\n\r\n{stars}: {stars}")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_length_and_chunks_is_framed_once() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        call.send(b"5\r\nhello\r\n0\r\n\r\n").await;
        None
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("GET", "/elevenlabs/v1/voices", "connection: close\r\n"))
        .await;
    let (text, _) = wire.rest().await;
    let whole = text.contains("5\r\nhello\r\n0\r\n") && !text.to_lowercase().contains("content-length");
    assert!(whole || text.starts_with("HTTP/1.1 502"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_error_body_passes_whole() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        for _ in 0..30 {
            call.send(format!("{:x}\r\n{}\r\n", 10_000, "e".repeat(10_000)).as_bytes())
                .await;
        }
        call.send(b"0\r\n\r\n").await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.headers()["x-voxgate-error"], "provider_error");
    assert_eq!(answer.text().await.unwrap(), "e".repeat(300_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_and_silent_providers_are_told_apart() {
    let silent = Provider::start(|mut call| async move {
        call.closed().await;
        None
    })
    .await;
    let mut options = Options::to(silent.address);
    options.timeouts.first_byte = Some(Duration::from_millis(300));
    let fixture = options.start().await;
    let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    assert_eq!(error_of(answer).await.1, "provider_timeout");
    let event = fixture.usage(1).await.remove(0);
    assert_eq!((event.outcome, event.status), (Outcome::Error, None));

    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for origin in [format!("http://{nobody}"), "http://does-not-exist.invalid".into()] {
        let mut options = Options::to(nobody);
        options.origin = origin;
        let fixture = options.start().await;
        let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
        let (status, code, _) = error_of(answer).await;
        assert_eq!((status, code.as_str()), (502, "provider_unreachable"));
        assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed_and_never_lead_away() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        let place = match call.target() {
            "/v1/voices" => format!("http://{}/v1/models?page=2", call.header("host").unwrap()),
            _ => "https://elsewhere.example/steal".to_owned(),
        };
        call.send(format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n").as_bytes())
            .await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let answer = fixture
        .request("GET", "/elevenlabs/v1/voices")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "/elevenlabs/v1/models?page=2");
    let answer = fixture
        .request("GET", "/elevenlabs/v1/models")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers().get("location"), None);
    let (status, code, _) = error_of(answer).await;
    assert_eq!((status, code.as_str()), (502, "provider_error"));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_not_passed_on() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"what is HTTP?\r\n\r\n").await;
        None
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    assert_eq!(error_of(answer).await.1, "provider_error");
}
