//! Uploads to `/v1` that are out of the ordinary: leave to send asked for, mistakes, dead connections, no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use policies::vocabulary::{Operation, Outcome};
use prometheus::TextEncoder;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::fixture::{Fixture, Options, Wire, contains};
use crate::provider::Provider;
use crate::unified_files::{FORM, SOON, TRANSCRIBE, field, file, form, listener, openai, send};

const REFUSES: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 36\r\n\r\n\
                       {\"error\":{\"code\":\"invalid_api_key\"}}";

/// Sends a form as one that first asks whether it may.
async fn ask_leave(fixture: &Fixture, body: &[u8]) -> Wire {
    let mut wire = fixture.connect().await;
    let more = format!("{FORM}expect: 100-continue\r\ncontent-length: {}\r\n", body.len());
    wire.send(fixture.head("POST", TRANSCRIBE, &more)).await;
    wire.until("HTTP/1.1 100 Continue").await;
    wire.send(body).await;
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_was_told_to_go_on_hears_that_the_key_is_refused() {
    let provider = Provider::always(REFUSES).await;
    let fixture = openai(&provider).await;
    for size in [100, 400_000] {
        let body = form(&[field("model", "openai/whisper-1"), file(&vec![b'#'; size])]);
        let mut wire = ask_leave(&fixture, &body).await;
        wire.until("x-voxgate-error: credential_invalid").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_was_told_to_go_on_is_served_by_the_next_candidate() {
    let first = Provider::always(REFUSES).await;
    let second = listener().await;
    let mut options = Options::to(second.address);
    options.openai = Some(first.address);
    let fixture = options.start().await;
    let models = ("whisper-1", "scribe_v2");
    fixture.select(Operation::Stt, models, None).await;
    let body = form(&[field("model", "default"), file(&[b'#'; 100])]);
    let mut wire = ask_leave(&fixture, &body).await;
    wire.until("{\"text\":\"100\"}").await;
    assert!(contains(&wire.received, "x-voxgate-attempts: 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_that_shows_before_the_call_costs_none() {
    let provider = listener().await;
    let fixture = openai(&provider).await;
    let audio = file(&vec![b'#'; 400_000]);
    for (name, value) in [("response_format", "nonsense"), ("nonsense", "x")] {
        let parts = [
            field("model", "openai/whisper-1"),
            field(name, value),
            audio.clone(),
        ];
        assert_eq!(
            send(&fixture, form(&parts)).await.status(),
            StatusCode::BAD_REQUEST
        );
    }
    assert_eq!(provider.connections(), 0);
    assert_eq!(fixture.refusals(2).await.len(), 2);
    assert!(fixture.usage(0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_past_the_limits_are_refused() {
    let provider = listener().await;
    let fixture = openai(&provider).await;
    let model = field("model", "openai/whisper-1");
    let many = vec![field("keywords[]", "word"); 1_201];
    let large = vec![field("keywords[]", &"w".repeat(60_000)); 20];
    let long = field(&"n".repeat(129), "x");
    for (before, expected) in [
        (many.concat(), "too many fields"),
        (large.concat(), "1 MiB"),
        (long, "too long a name"),
    ] {
        let response = send(&fixture, form(&[before, model.clone(), file(b"#")])).await;
        assert!(response.status().is_client_error());
        let said: Value = response.json().await.unwrap();
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
    let boundary = format!("multipart/form-data; boundary={}", "b".repeat(71));
    let request = fixture
        .request("POST", TRANSCRIBE)
        .header("content-type", boundary);
    assert_eq!(
        request.body("x").send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keywords_are_taken_however_they_are_cut() {
    let provider = listener().await;
    let fixture = Fixture::to(provider.address).await;
    let mut parts = vec![field("keywords[]", "word"); 1_000];
    parts.extend([field("model", "elevenlabs/scribe_v2"), file(&[b'#'; 7])]);
    let body = form(&parts);
    let mut wire = fixture.connect().await;
    let length = format!("{FORM}content-length: {}\r\n", body.len());
    wire.send(fixture.head("POST", TRANSCRIBE, &length)).await;
    for piece in body.chunks(777) {
        wire.send(piece).await;
    }
    wire.until("{\"text\":\"7\"}").await;
}

/// Answers on its first connection once, and takes no other call there.
async fn forgetful(begun: Arc<Notify>) -> Provider {
    let calls = Arc::new(AtomicUsize::new(0));
    Provider::start(move |mut call| {
        let (begun, before) = (begun.clone(), calls.fetch_add(1, Ordering::SeqCst));
        async move {
            if call.connection == 0 && before > 0 {
                return None;
            }
            begun.notify_one();
            call.body().await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"text\":\"a\"}";
            call.send(answer.as_bytes()).await;
            Some(call)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_connection_that_is_dead_is_replaced_while_the_file_is_at_its_beginning() {
    let begun = Arc::new(Notify::new());
    let provider = forgetful(begun.clone()).await;
    let mut options = Options::to(provider.address);
    options.openai = Some(provider.address);
    options.workers = 1;
    let fixture = options.start().await;
    let body = form(&[field("model", "openai/whisper-1"), file(&[b'#'; 400_000])]);
    assert_eq!(send(&fixture, body.clone()).await.status(), StatusCode::OK);
    timeout(SOON, begun.notified()).await.unwrap();

    let mut wire = fixture.connect().await;
    let length = format!("{FORM}content-length: {}\r\n", body.len());
    wire.send(fixture.head("POST", TRANSCRIBE, &length)).await;
    wire.send(&body[..3_000]).await;
    timeout(SOON, begun.notified()).await.unwrap();
    wire.send(&body[3_000..]).await;
    wire.until("{\"text\":\"a\"}").await;
    assert_eq!(provider.connections(), 2);
    let usage = fixture.usage(2).await;
    assert!(usage.iter().all(|event| event.outcome == Outcome::Ok));
    assert_eq!(usage[0].bytes_in, usage[1].bytes_in);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_loses_patience_with_slow_callers_is_called_for_others() {
    const SLOW: usize = 6;
    let provider = Provider::start(|mut call| async move {
        if call.connection < SLOW {
            return None;
        }
        call.body().await;
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"text\":\"a\"}";
        call.send(answer.as_bytes()).await;
        Some(call)
    })
    .await;
    let fixture = openai(&provider).await;
    let body = form(&[field("model", "openai/whisper-1"), file(&[b'#'; 400_000])]);
    for _ in 0..SLOW {
        let mut wire = fixture.connect().await;
        let length = format!("{FORM}content-length: {}\r\n", body.len());
        wire.send(fixture.head("POST", TRANSCRIBE, &length)).await;
        wire.send(&body[..3_000]).await;
        wire.until("x-voxgate-error: provider_unreachable").await;
    }
    assert_eq!(send(&fixture, body).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_finds_no_room_is_refused_for_the_moment() {
    let provider = listener().await;
    let mut options = Options::to(provider.address);
    options.openai = Some(provider.address);
    options.spool_max_bytes = 1 << 20;
    let fixture = options.start().await;
    let of = |size: usize| form(&[file(&vec![b'#'; size]), field("model", "openai/whisper-1")]);
    let refused = send(&fixture, of(2 << 20)).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["x-voxgate-error"], "overloaded");
    assert!(refused.headers().contains_key("retry-after"));
    for _ in 0..3 {
        assert_eq!(send(&fixture, of(700_000)).await.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_transcript_is_told_whole() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        let body = format!("{{\"text\": \"{}\"}}", "word ".repeat(100_000));
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        call.send(head.as_bytes()).await;
        call.send(body.as_bytes()).await;
        Some(call)
    })
    .await;
    let fixture = openai(&provider).await;
    let response = send(&fixture, form(&[field("model", "openai/whisper-1"), file(b"#")])).await;
    let said: Value = response.json().await.unwrap();
    assert!(said["text"].as_str().unwrap().len() >= 499_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_models_is_counted() {
    let provider = listener().await;
    let fixture = openai(&provider).await;
    let listed = fixture.request("GET", "/v1/models").send().await.unwrap();
    assert_eq!(listed.status(), StatusCode::OK);
    let counted = "voxgate_requests_total{credential=\"none\",mode=\"unified\",operation=\"lookup\",outcome=\"ok\",provider=\"none\"} 1";
    let metrics = || {
        TextEncoder::new()
            .encode_to_string(&fixture.registry.gather())
            .unwrap()
    };
    // It is counted once it has been sent, which may be after it has arrived.
    for _ in 0..100 {
        if metrics().contains(counted) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{}", metrics());
}
