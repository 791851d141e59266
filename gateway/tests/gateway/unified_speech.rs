//! `POST /v1/audio/speech`: which candidate answers, what the caller hears of the others, and what is on record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use policies::vocabulary::{Mode, Operation, Outcome};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::fixture::{Fixture, Options};
use crate::provider::{Conversation, Provider};

pub const SPEECH: &str = "/v1/audio/speech";
pub const SOON: Duration = Duration::from_secs(2);

/// A WAV file of one second at 24 kHz.
pub fn wav() -> Vec<u8> {
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36u32 + 48_000).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    for word in [1u16, 1] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for long in [24_000u32, 48_000] {
        file.extend_from_slice(&long.to_le_bytes());
    }
    for word in [2u16, 16] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&48_000u32.to_le_bytes());
    file.resize(44 + 48_000, 7);
    file
}

pub async fn answer(call: &mut Conversation, status: &str, kind: &str, body: &[u8]) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    call.send(head.as_bytes()).await;
    call.send(body).await;
}

/// Speaks whatever it is asked to, as WAV, or in samples if its address asks for those.
pub async fn speaker() -> Provider {
    Provider::start(|mut call| async move {
        call.body().await;
        if call.target().contains("output_format=pcm") {
            answer(&mut call, "200 OK", "audio/pcm", &wav()[44..]).await;
        } else {
            answer(&mut call, "200 OK", "audio/wav", &wav()).await;
        }
        Some(call)
    })
    .await
}

pub async fn two(first: &Provider, second: &Provider) -> Fixture {
    let mut options = Options::to(second.address);
    options.openai = Some(first.address);
    selected(options).await
}

pub async fn selected(options: Options) -> Fixture {
    let fixture = options.start().await;
    let models = ("gpt-4o-mini-tts", "eleven_multilingual_v2");
    fixture
        .select(Operation::Tts, models, Some(("alloy", "anna")))
        .await;
    fixture
}

pub fn asking(format: &str) -> String {
    json!({"model": "default", "input": "Hello there.", "voice": "default", "response_format": format})
        .to_string()
}

pub async fn ask(fixture: &Fixture, format: &str) -> reqwest::Response {
    let request = fixture.request("POST", SPEECH).body(asking(format));
    request.send().await.unwrap()
}

pub fn header<'r>(response: &'r reqwest::Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_selection_speaks_and_its_call_is_on_record() {
    let (first, second) = (speaker().await, speaker().await);
    let fixture = two(&first, &second).await;
    let response = ask(&fixture, "wav").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), Some("audio/wav"));
    assert_eq!(header(&response, "x-voxgate-provider"), Some("openai"));
    assert_eq!(header(&response, "x-voxgate-model"), Some("gpt-4o-mini-tts"));
    assert_eq!(header(&response, "x-voxgate-credential"), Some("user"));
    assert_eq!(header(&response, "x-voxgate-attempts"), None);
    assert!(response.bytes().await.unwrap() == wav());
    let event = fixture.usage(1).await.remove(0);
    assert_eq!(
        (event.mode, event.outcome, event.attempt),
        (Mode::Unified, Outcome::Ok, 1)
    );
    assert_eq!(event.model.as_deref(), Some("gpt-4o-mini-tts"));
    assert_eq!(second.connections(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Fails {
    Closes,
    With(&'static str),
    Redirects,
    Empty,
    OtherContainer,
    BreaksOff,
}

async fn failing(how: Fails) -> Provider {
    Provider::start(move |mut call| async move {
        call.body().await;
        match how {
            Fails::Closes => return None,
            Fails::With(status) => {
                let body = br#"{"error": {"message": "no", "code": "invalid_api_key"}}"#;
                answer(&mut call, status, "application/json", body).await;
            }
            Fails::Redirects => {
                call.send(
                    b"HTTP/1.1 302 Found\r\nlocation: https://other.test/\r\ncontent-length: 0\r\n\r\n",
                )
                .await;
            }
            Fails::Empty => answer(&mut call, "200 OK", "audio/wav", b"").await,
            Fails::OtherContainer => answer(&mut call, "200 OK", "audio/wav", &[b'f'; 4096]).await,
            Fails::BreaksOff => {
                call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\nRIFF")
                    .await;
                return None;
            }
        }
        Some(call)
    })
    .await
}

const ALL_FAILURES: [(Fails, &str, u16); 8] = [
    (Fails::Closes, "provider_unreachable", 502),
    (Fails::With("500 Internal Server Error"), "provider_error", 502),
    (Fails::With("429 Too Many Requests"), "provider_rate_limited", 429),
    (Fails::With("401 Unauthorized"), "credential_invalid", 424),
    (Fails::Redirects, "provider_error", 502),
    (Fails::Empty, "provider_error", 502),
    (Fails::OtherContainer, "provider_error", 502),
    (Fails::BreaksOff, "provider_error", 502),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_next_candidate_answers_whatever_the_first_one_fails_with() {
    for (how, _, _) in ALL_FAILURES {
        let (first, second) = (failing(how).await, speaker().await);
        let fixture = two(&first, &second).await;
        let response = ask(&fixture, "wav").await;
        assert_eq!(response.status(), StatusCode::OK, "{how:?}");
        assert_eq!(
            header(&response, "x-voxgate-provider"),
            Some("elevenlabs"),
            "{how:?}"
        );
        assert_eq!(header(&response, "x-voxgate-attempts"), Some("2"), "{how:?}");
        // What it was asked for is samples, so what it says is put into a file here.
        let spoken = response.bytes().await.unwrap();
        assert!(
            spoken.starts_with(b"RIFF") && spoken.ends_with(&wav()[44..]),
            "{how:?}"
        );
        let events = fixture.usage(2).await;
        let mut attempts: Vec<_> = events
            .iter()
            .map(|event| (event.attempt, event.outcome))
            .collect();
        attempts.sort_by_key(|(attempt, _)| *attempt);
        assert_ne!(attempts[0], (1, Outcome::Ok), "{how:?}");
        assert_eq!(attempts[1], (2, Outcome::Ok), "{how:?}");
        assert_eq!(events[0].request_id, events[1].request_id);
        assert_ne!(events[0].id, events[1].id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_no_candidate_is_left_for_is_told_in_openais_words() {
    for (how, code, status) in ALL_FAILURES {
        let provider = failing(how).await;
        let mut options = Options::to(provider.address);
        options.openai = Some(provider.address);
        let fixture = options.start().await;
        let body =
            json!({"model": "openai/tts-1", "input": "Hi.", "voice": "alloy", "response_format": "wav"});
        let request = fixture.request("POST", SPEECH).body(body.to_string());
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{how:?}");
        assert_eq!(header(&response, "x-voxgate-error"), Some(code), "{how:?}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{how:?}");
        assert_eq!(fixture.usage(1).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_own_error_goes_back_in_the_providers_words_and_nobody_else_is_asked() {
    let first = Provider::start(|mut call| async move {
        call.body().await;
        let body = br#"{"error": {"message": "no such mood", "type": "invalid_request_error"}}"#;
        answer(&mut call, "400 Bad Request", "application/json", body).await;
        Some(call)
    })
    .await;
    let second = speaker().await;
    let fixture = two(&first, &second).await;
    let response = ask(&fixture, "wav").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        body["error"]["message"],
        "OpenAI refused the request: no such mood"
    );
    assert_eq!(second.connections(), 0);
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_audio_passes_while_the_provider_stalls_and_nobody_else_is_asked_when_it_breaks_off() {
    let go_on = Arc::new(Notify::new());
    let first = {
        let go_on = go_on.clone();
        Provider::start(move |mut call| {
            let go_on = go_on.clone();
            async move {
                call.body().await;
                call.send(
                    b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ntransfer-encoding: chunked\r\n\r\n",
                )
                .await;
                call.send(b"64\r\n").await;
                call.send(&wav()[..100]).await;
                call.send(b"\r\n").await;
                go_on.notified().await;
                None
            }
        })
        .await
    };
    let second = speaker().await;
    let fixture = two(&first, &second).await;
    let mut response = ask(&fixture, "wav").await;
    let begun = timeout(SOON, response.chunk()).await.unwrap().unwrap().unwrap();
    assert_eq!(begun, wav()[..100]);
    go_on.notify_one();
    assert!(timeout(SOON, response.chunk()).await.unwrap().is_err());
    assert_eq!(second.connections(), 0);
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Interrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_while_the_provider_is_silent_ends_its_call() {
    let (asked, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let first = {
        let (asked, ended) = (asked.clone(), ended.clone());
        Provider::start(move |mut call| {
            let (asked, ended) = (asked.clone(), ended.clone());
            async move {
                call.body().await;
                asked.notify_one();
                call.closed().await;
                ended.notify_one();
                None
            }
        })
        .await
    };
    let second = speaker().await;
    let fixture = two(&first, &second).await;
    let body = asking("wav");
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", SPEECH, &format!("content-length: {}\r\n", body.len())))
        .await;
    wire.send(body).await;
    timeout(SOON, asked.notified()).await.unwrap();
    drop(wire);
    timeout(SOON, ended.notified()).await.unwrap();
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Interrupted);
    assert_eq!(second.connections(), 0);
}

pub async fn silent_for(pause: Duration) -> Provider {
    Provider::start(move |mut call| async move {
        call.body().await;
        tokio::select! {
            () = call.closed() => return None,
            () = tokio::time::sleep(pause) => {}
        }
        answer(&mut call, "200 OK", "audio/wav", &wav()).await;
        Some(call)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_candidate_is_given_up_for_another_but_only_where_that_one_can_be_called() {
    let (first, second) = (silent_for(Duration::from_millis(1500)).await, speaker().await);
    for (with_key, provider) in [(true, "elevenlabs"), (false, "openai")] {
        let mut options = Options::to(second.address);
        options.openai = Some(first.address);
        options.fallback_after = Duration::from_millis(300);
        options.with_key = with_key;
        let fixture = selected(options).await;
        let response = ask(&fixture, "wav").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "x-voxgate-provider"), Some(provider));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_candidates_together_have_a_limit() {
    let provider = silent_for(Duration::from_secs(20)).await;
    let mut options = Options::to(provider.address);
    options.openai = Some(provider.address);
    options.attempts_time = Duration::from_millis(500);
    let fixture = selected(options).await;
    let began = Instant::now();
    let response = ask(&fixture, "wav").await;
    assert_eq!(header(&response, "x-voxgate-error"), Some("provider_timeout"));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_keeps_closing_is_spared_for_a_while() {
    let (first, second) = (failing(Fails::Closes).await, speaker().await);
    let fixture = two(&first, &second).await;
    for _ in 0..5 {
        assert_eq!(ask(&fixture, "wav").await.status(), StatusCode::OK);
    }
    let before = first.connections();
    let response = ask(&fixture, "wav").await;
    assert_eq!(header(&response, "x-voxgate-provider"), Some("elevenlabs"));
    assert_eq!(header(&response, "x-voxgate-attempts"), None);
    assert_eq!(first.connections(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_size_and_framing_arrive() {
    let first = Provider::start(|mut call| async move {
        let length = call.body().await.len().to_string();
        let mut body = wav();
        body.extend_from_slice(length.as_bytes());
        answer(&mut call, "200 OK", "audio/wav", &body).await;
        Some(call)
    })
    .await;
    let mut options = Options::to(first.address);
    options.openai = Some(first.address);
    let fixture = options.start().await;
    let h2 = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    // Blanks around the value: the request grows, what it says does not.
    for size in [200, 64 * 1024 + 1, 1 << 20] {
        let body =
            json!({"model": "openai/tts-1", "input": "Hi.", "voice": "alloy", "response_format": "wav"});
        let body = format!("{body}{}", " ".repeat(size - body.to_string().len()));
        let chunked = reqwest::Body::wrap_stream(futures_chunks(body.clone()));
        let requests = [
            fixture.request("POST", SPEECH).body(body.clone()),
            fixture.request("POST", SPEECH).body(chunked),
            h2.post(fixture.url(SPEECH))
                .header("xi-api-key", &fixture.token)
                .body(body.clone()),
        ];
        for request in requests {
            let response = timeout(Duration::from_secs(10), request.send())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{size}");
            assert!(response.bytes().await.unwrap().starts_with(&wav()), "{size}");
        }
    }
}

fn futures_chunks(
    body: String,
) -> impl futures::Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static {
    let chunks: Vec<_> = body.as_bytes().chunks(10_000).map(<[u8]>::to_vec).collect();
    futures::stream::iter(chunks.into_iter().map(Ok))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_waits_for_leave_to_send_is_told_to_go_on() {
    let (first, second) = (speaker().await, speaker().await);
    let fixture = two(&first, &second).await;
    let body = asking("wav");
    let mut wire = fixture.connect().await;
    let more = format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len());
    wire.send(fixture.head("POST", SPEECH, &more)).await;
    wire.until("100 Continue").await;
    wire.send(body).await;
    wire.until("200 OK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_no_provider_is_a_refusal_on_record() {
    let provider = speaker().await;
    let fixture = Fixture::to(provider.address).await;
    let response = ask(&fixture, "wav").await;
    assert_eq!(header(&response, "x-voxgate-error"), Some("selection_missing"));
    assert_eq!(response.status(), StatusCode::FAILED_DEPENDENCY);
    let large = fixture.request("POST", SPEECH).body(vec![b' '; 9 << 20]);
    assert_eq!(
        large.send().await.unwrap().status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(fixture.refusals(2).await.len(), 2);
    assert_eq!(provider.connections(), 0);
}

/// Speaks in whatever it is asked for: a second of samples, or the same as a file.
async fn versatile() -> Provider {
    Provider::start(|mut call| async move {
        let body: Value = serde_json::from_slice(&call.body().await).unwrap();
        let samples = body["response_format"] == "pcm";
        let (kind, audio) = if samples {
            ("audio/pcm", wav().split_off(44))
        } else {
            ("audio/wav", wav())
        };
        answer(&mut call, "200 OK", kind, &audio).await;
        Some(call)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_longer_than_a_provider_speaks_at_once_comes_out_as_one_audio() {
    let provider = versatile().await;
    let fixture = two(&provider, &provider).await;
    let input = "One sentence after the other. ".repeat(300);
    for (format, begins) in [("pcm", b"\x07\x07".as_slice()), ("flac", b"fLaC"), ("mp3", b"")] {
        let body = json!({"model": "default", "input": input, "voice": "default", "response_format": format});
        let request = fixture.request("POST", SPEECH).body(body.to_string());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{format}");
        let audio = response.bytes().await.unwrap();
        assert!(
            audio.starts_with(begins) && audio.len() > 300,
            "{format}: {}",
            audio.len()
        );
        if format == "pcm" {
            assert_eq!(audio.len(), 3 * 48_000);
        }
    }
    let events = fixture.usage(9).await;
    assert!(
        events
            .iter()
            .all(|event| (event.attempt, event.outcome) == (1, Outcome::Ok))
    );
    assert!(
        events.iter().all(|event| event.audio_seconds == Some(1.0)),
        "{events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_carry_the_audio_and_say_when_it_ends_and_when_it_breaks_off() {
    let provider = versatile().await;
    let fixture = two(&provider, &provider).await;
    let mut body: Value = serde_json::from_str(&asking("wav")).unwrap();
    body["stream_format"] = "sse".into();
    let request = fixture.request("POST", SPEECH).body(body.to_string());
    let response = request.send().await.unwrap();
    assert_eq!(header(&response, "content-type"), Some("text/event-stream"));
    let events = response.text().await.unwrap();
    assert!(events.contains("speech.audio.delta") && events.contains("speech.audio.done"));
    let broken = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n")
            .await;
        call.send(&wav()).await;
        None
    })
    .await;
    let fixture = two(&broken, &provider).await;
    let mut wire = fixture.connect().await;
    let body = body.to_string();
    wire.send(fixture.head("POST", SPEECH, &format!("content-length: {}\r\n", body.len())))
        .await;
    wire.send(body).await;
    let (said, _) = wire.rest().await;
    let last = said.rfind("data: ").unwrap();
    let event = said[last + 6..].lines().next().unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["type"], "error");
    assert_eq!(event["error"]["code"], "provider_error");
    assert!(!said.ends_with("0\r\n\r\n"));
}
