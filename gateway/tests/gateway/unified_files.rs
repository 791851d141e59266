//! `POST /v1/audio/transcriptions`: files that go up as they come, and files that wait for a candidate.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use policies::vocabulary::{Operation, Outcome};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::fixture::{Fixture, Options, contains};
use crate::provider::Provider;

pub const TRANSCRIBE: &str = "/v1/audio/transcriptions";
pub const FORM: &str = "content-type: multipart/form-data; boundary=cut\r\n";
pub const SOON: Duration = Duration::from_secs(2);

pub fn field(name: &str, value: &str) -> Vec<u8> {
    format!("--cut\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes()
}

pub fn file(content: &[u8]) -> Vec<u8> {
    let head = "--cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    [head.as_bytes(), content, b"\r\n"].concat()
}

pub fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat().as_slice(), b"--cut--\r\n"].concat()
}

pub async fn send(fixture: &Fixture, body: Vec<u8>) -> reqwest::Response {
    let request = fixture
        .request("POST", TRANSCRIBE)
        .header("content-type", "multipart/form-data; boundary=cut");
    let sent = timeout(Duration::from_secs(20), request.body(body).send());
    sent.await.unwrap().unwrap()
}

/// Reads whatever it is given as the length of its body, and says so.
pub async fn listener() -> Provider {
    Provider::start(|mut call| async move {
        let body = call.body().await;
        let text = format!(
            "{{\"text\": \"{}\"}}",
            body.iter().filter(|byte| **byte == b'#').count()
        );
        let length = text.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        call.send(head.as_bytes()).await;
        call.send(text.as_bytes()).await;
        Some(call)
    })
    .await
}

pub async fn openai(provider: &Provider) -> Fixture {
    let mut options = Options::to(provider.address);
    options.openai = Some(provider.address);
    options.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_whole_wherever_the_fields_stand() {
    let provider = listener().await;
    let fixture = openai(&provider).await;
    let model = field("model", "openai/whisper-1");
    for size in [1, 70_000, 1 << 20, 9 << 20] {
        let file = file(&vec![b'#'; size]);
        let language = field("language", "en");
        for parts in [
            vec![model.clone(), language.clone(), file.clone()],
            vec![model.clone(), file.clone(), language.clone()],
            vec![file.clone(), language.clone(), model.clone()],
        ] {
            let response = send(&fixture, form(&parts)).await;
            assert_eq!(response.status(), StatusCode::OK, "{size}");
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["text"], size.to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_for_one_candidate_goes_up_while_its_caller_still_sends_it() {
    let seen = Arc::new(Notify::new());
    let provider = {
        let seen = seen.clone();
        Provider::start(move |mut call| {
            let seen = seen.clone();
            async move {
                let mut all = call.received().to_vec();
                while !contains(&all, "#beginning#") {
                    assert!(call.more().await);
                    all.extend_from_slice(call.received());
                }
                seen.notify_one();
                call.closed().await;
                None
            }
        })
        .await
    };
    let fixture = openai(&provider).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", TRANSCRIBE, &format!("{FORM}content-length: 1000000\r\n")))
        .await;
    wire.send(field("model", "openai/whisper-1")).await;
    wire.send(&file(&[b"#beginning#".as_slice(), &[b'-'; 4000]].concat())[..3000])
        .await;
    timeout(SOON, seen.notified()).await.unwrap();
    drop(wire);
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Interrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_again_to_the_next_candidate() {
    let first = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
            .await;
        Some(call)
    })
    .await;
    let second = listener().await;
    let mut options = Options::to(second.address);
    options.openai = Some(first.address);
    let fixture = options.start().await;
    fixture
        .select(Operation::Stt, ("whisper-1", "scribe_v2"), None)
        .await;
    let size = 1_000_003;
    let response = send(
        &fixture,
        form(&[field("model", "whisper-1"), file(&vec![b'#'; size])]),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-voxgate-attempts"], "2");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["text"], size.to_string());
    assert_eq!(fixture.usage(2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_hold_no_file_or_are_none_are_refused() {
    let provider = listener().await;
    let fixture = openai(&provider).await;
    let model = || field("model", "openai/whisper-1");
    for body in [
        form(&[model()]),
        form(&[model(), file(b"")]),
        b"--cut\r\nno form".to_vec(),
    ] {
        let response = send(&fixture, body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    let plain = fixture
        .request("POST", TRANSCRIBE)
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), StatusCode::BAD_REQUEST);
    let twice = send(&fixture, form(&[file(b"one"), file(b"two"), model()])).await;
    let said: Value = twice.json().await.unwrap();
    assert_eq!(said["error"]["param"], "file");
    assert_eq!(provider.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_the_provider_cannot_heed_end_the_call_under_way() {
    let provider = listener().await;
    let fixture = openai(&provider).await;
    let parts = [
        field("model", "openai/gpt-4o-transcribe"),
        file(&[b'#'; 400_000]),
        field("response_format", "nonsense"),
    ];
    let response = send(&fixture, form(&parts)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let said: Value = response.json().await.unwrap();
    assert_eq!(said["error"]["param"], "response_format");
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_the_middle_of_an_upload_is_heard() {
    let provider = Provider::start(|mut call| async move {
        assert!(call.more().await);
        let body = r#"{"error": {"message": "no", "code": "invalid_api_key"}}"#;
        let length = body.len();
        let answer = format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\n\r\n{body}");
        call.send(answer.as_bytes()).await;
        call.closed().await;
        None
    })
    .await;
    let fixture = openai(&provider).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", TRANSCRIBE, &format!("{FORM}content-length: 1000000\r\n")))
        .await;
    wire.send(field("model", "openai/whisper-1")).await;
    wire.send(&file(&[b'#'; 100_000])[..90_000]).await;
    wire.until("x-voxgate-error: credential_invalid").await;
    assert!(contains(&wire.received, "424"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_larger_than_the_provider_takes_is_refused_with_the_limit() {
    let provider = listener().await;
    let fixture = openai(&provider).await;
    let size = 25_000_001;
    for parts in [
        [field("model", "openai/whisper-1"), file(&vec![b'#'; size])],
        [file(&vec![b'#'; size]), field("model", "openai/whisper-1")],
    ] {
        let response = send(&fixture, form(&parts)).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let said: Value = response.json().await.unwrap();
        let message = said["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("25000000") && message.contains("OpenAI"),
            "{message}"
        );
    }
}
