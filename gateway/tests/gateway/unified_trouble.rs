//! `/v1` when things go wrong: what is tried again, what is waited for, what is spared, and what callers hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use policies::vocabulary::{Operation, Outcome};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::fixture::{Fixture, Options};
use crate::provider::Provider;
use crate::unified_speech::{
    SOON, SPEECH, answer, ask, asking, header, selected, silent_for, speaker, two, wav,
};

/// Answers everything alike.
async fn answering(status: &'static str, kind: &'static str, body: &'static [u8]) -> Provider {
    Provider::start(move |mut call| async move {
        call.body().await;
        answer(&mut call, status, kind, body).await;
        Some(call)
    })
    .await
}

fn alone(provider: &Provider) -> Options {
    let mut options = Options::to(provider.address);
    options.openai = Some(provider.address);
    options.workers = 1;
    options
}

async fn say(fixture: &Fixture, model: &str, format: &str) -> reqwest::Response {
    let body = json!({"model": model, "input": "Hi.", "voice": "alloy", "response_format": format});
    let request = fixture.request("POST", SPEECH).body(body.to_string());
    timeout(Duration::from_secs(10), request.send())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ends_in_trailers_is_answered() {
    let provider = silent_for(Duration::from_millis(200)).await;
    let fixture = two(&provider, &provider).await;
    let stream = tokio::net::TcpStream::connect(fixture.address()).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(fixture.url(SPEECH))
        .header("xi-api-key", &fixture.token)
        .body(())
        .unwrap();
    let (answer, mut body) = send.send_request(request, false).unwrap();
    body.send_data(Bytes::from(asking("wav")), false).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", "42".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let answer = timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_all_there_is_has_its_providers_time() {
    let provider = silent_for(Duration::from_millis(700)).await;
    let mut options = alone(&provider);
    options.attempts_time = Duration::from_millis(200);
    let fixture = options.start().await;
    assert_eq!(
        say(&fixture, "openai/tts-1", "wav").await.status(),
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speech_that_has_begun_is_not_ended_by_the_time_for_attempts() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        sleep(Duration::from_millis(300)).await;
        answer(&mut call, "200 OK", "audio/pcm", &wav().split_off(44)).await;
        Some(call)
    })
    .await;
    let mut options = alone(&provider);
    options.attempts_time = Duration::from_millis(500);
    options.fallback_after = Duration::from_millis(450);
    let fixture = selected(options).await;
    let input = "One sentence after the other. ".repeat(300);
    let body = json!({"model": "default", "input": input, "voice": "default", "response_format": "pcm"});
    let request = fixture.request("POST", SPEECH).body(body.to_string());
    let audio = request.send().await.unwrap().bytes().await.unwrap();
    assert_eq!(audio.len(), 3 * 48_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_was_only_not_waited_for_is_not_spared() {
    let (first, second) = (silent_for(Duration::from_secs(5)).await, speaker().await);
    let mut options = Options::to(second.address);
    options.openai = Some(first.address);
    options.fallback_after = Duration::from_millis(50);
    let fixture = selected(options).await;
    for _ in 0..7 {
        let response = ask(&fixture, "wav").await;
        assert_eq!(header(&response, "x-voxgate-attempts"), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_told_how_long_to_wait_is_spared_and_one_that_was_not_is_asked() {
    let calls = Arc::new(AtomicUsize::new(0));
    for (more, asked) in [("retry-after: 30\r\n", 1), ("", 2)] {
        let provider = {
            let calls = calls.clone();
            calls.store(0, Ordering::SeqCst);
            Provider::start(move |mut call| {
                let calls = calls.clone();
                async move {
                    call.body().await;
                    calls.fetch_add(1, Ordering::SeqCst);
                    let head = format!("HTTP/1.1 429 Too Many Requests\r\n{more}content-length: 0\r\n\r\n");
                    call.send(head.as_bytes()).await;
                    Some(call)
                }
            })
            .await
        };
        let fixture = alone(&provider).start().await;
        for _ in 0..2 {
            let response = say(&fixture, "openai/tts-1", "wav").await;
            assert_eq!(
                header(&response, "x-voxgate-error"),
                Some("provider_rate_limited")
            );
            assert_eq!(header(&response, "x-voxgate-provider"), Some("openai"));
            assert!(header(&response, "retry-after").is_some());
        }
        assert_eq!(calls.load(Ordering::SeqCst), asked, "{more}");
        // Another model of the same provider has limits of its own.
        say(&fixture, "openai/tts-1-hd", "wav").await;
        assert_eq!(calls.load(Ordering::SeqCst), asked + 1, "{more}");
    }
}

/// Answers the first request, and closes on the second after `pause`.
async fn closing(pause: Duration) -> Provider {
    let calls = Arc::new(AtomicUsize::new(0));
    Provider::start(move |mut call| {
        let calls = calls.clone();
        async move {
            call.body().await;
            if calls.fetch_add(1, Ordering::SeqCst) == 1 {
                sleep(pause).await;
                return None;
            }
            answer(&mut call, "200 OK", "audio/wav", &wav()).await;
            Some(call)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_repeated_on_a_new_connection_only_where_nobody_can_have_acted_on_it() {
    for (pause, status) in [(0, StatusCode::OK), (300, StatusCode::BAD_GATEWAY)] {
        let provider = closing(Duration::from_millis(pause)).await;
        let fixture = alone(&provider).start().await;
        let first = say(&fixture, "openai/tts-1", "wav").await;
        assert!(first.bytes().await.unwrap() == wav());
        assert_eq!(
            say(&fixture, "openai/tts-1", "wav").await.status(),
            status,
            "{pause}"
        );
        let repeated = status == StatusCode::OK;
        let events = fixture.usage(if repeated { 3 } else { 2 }).await;
        let failed = events
            .iter()
            .filter(|event| event.outcome == Outcome::Error)
            .count();
        assert_eq!(failed, 1);
        assert!(events.iter().all(|event| event.attempt == 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_containers_are_no_samples() {
    for body in [
        br#"{"error": "no"}"#.as_slice(),
        b"RIFF\0\0\0\0WAVEfmt ",
        b"ID3\x04\0\0\0\0\0\0",
    ] {
        let (first, second) = (answering("200 OK", "audio/pcm", body).await, speaker().await);
        let fixture = two(&first, &second).await;
        let response = ask(&fixture, "pcm").await;
        assert_eq!(header(&response, "x-voxgate-provider"), Some("elevenlabs"));
        assert_eq!(response.bytes().await.unwrap().len(), 48_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_provider_that_it_is_about_and_no_other() {
    let provider = speaker().await;
    let mut options = alone(&provider);
    options.with_key = false;
    let fixture = options.start().await;
    let missing = say(&fixture, "elevenlabs/eleven_multilingual_v2", "wav").await;
    assert_eq!(header(&missing, "x-voxgate-error"), Some("credential_missing"));
    assert_eq!(header(&missing, "x-voxgate-provider"), Some("elevenlabs"));
    let unable = say(&fixture, "elevenlabs/eleven_multilingual_v2", "aac").await;
    assert_eq!(header(&unable, "x-voxgate-error"), Some("unsupported_format"));
    assert_eq!(header(&unable, "x-voxgate-provider"), Some("elevenlabs"));

    let failing = answering("503 Service Unavailable", "text/plain", b"").await;
    let mut options = Options::to(provider.address);
    options.openai = Some(failing.address);
    options.with_key = false;
    let fixture = selected(options).await;
    let failed = ask(&fixture, "wav").await;
    assert_eq!(header(&failed, "x-voxgate-error"), Some("provider_error"));
    assert_eq!(header(&failed, "x-voxgate-provider"), Some("openai"));
    assert_ne!(header(&failed, "x-voxgate-model"), Some("eleven_multilingual_v2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_no_rule_explains_is_the_keys_trouble_or_the_providers_where_it_says_so() {
    for (status, code, ours, another) in [
        ("402 Payment Required", "credential_restricted", 424, true),
        (
            "407 Proxy Authentication Required",
            "credential_restricted",
            424,
            true,
        ),
        ("408 Request Timeout", "provider_timeout", 504, true),
        ("413 Content Too Large", "payload_too_large", 413, false),
        ("404 Not Found", "invalid_request", 400, false),
    ] {
        let first = answering(status, "application/json", b"{}").await;
        let fixture = alone(&first).start().await;
        let response = say(&fixture, "openai/tts-1", "wav").await;
        assert_eq!(header(&response, "x-voxgate-error"), Some(code), "{status}");
        assert_eq!(response.status().as_u16(), ours, "{status}");
        let second = speaker().await;
        let fixture = two(&first, &second).await;
        assert_eq!(
            ask(&fixture, "wav").await.status().is_success(),
            another,
            "{status}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speech_that_stops_in_its_middle_is_interrupted() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ncontent-length: 4000\r\n\r\n")
            .await;
        call.send(&[7; 1000]).await;
        call.closed().await;
        None
    })
    .await;
    let mut options = Options::to(provider.address);
    options.timeouts.idle = Some(Duration::from_millis(300));
    let fixture = options.start().await;
    let mut response = say(&fixture, "elevenlabs/eleven_multilingual_v2", "pcm").await;
    assert_eq!(response.status(), StatusCode::OK);
    while let Ok(chunk) = timeout(SOON, response.chunk()).await.unwrap() {
        assert!(chunk.is_some(), "it ended as if it were complete");
    }
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Interrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_before_the_file_is_there_is_none() {
    let first = Provider::start(|mut call| async move {
        call.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{\"text\": \"no\"}")
            .await;
        sleep(Duration::from_secs(2)).await;
        None
    })
    .await;
    let second = answering("200 OK", "application/json", br#"{"text": "yes"}"#).await;
    let mut options = Options::to(second.address);
    options.openai = Some(first.address);
    let fixture = options.start().await;
    fixture
        .select(Operation::Stt, ("whisper-1", "scribe_v2"), None)
        .await;
    let mut form = b"--cut\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ndefault\r\n--cut\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n"
        .to_vec();
    form.resize(20 << 20, b'#');
    form.extend_from_slice(b"\r\n--cut--\r\n");
    let request = fixture
        .request("POST", "/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=cut")
        .body(form);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["text"], "yes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_an_address_is_refused_before_anyone_is_called() {
    let provider = speaker().await;
    let fixture = alone(&provider).start().await;
    let body =
        json!({"model": "elevenlabs/eleven_multilingual_v2", "input": "Hi.", "voice": "v".repeat(70_000)});
    let request = fixture.request("POST", SPEECH).body(body.to_string());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(header(&response, "x-voxgate-error"), Some("invalid_request"));
    fixture.usage(0).await;
    assert_eq!(provider.connections(), 0);
}
