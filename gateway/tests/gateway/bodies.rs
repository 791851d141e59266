//! Bodies pass unchanged, as they come, in constant memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use policies::descriptor::TimeoutOverrides;
use policies::vocabulary::Outcome;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::fixture::{Fixture, KEY, LISTEN, Options, SPEAK, resident_bytes};
use crate::provider::Provider;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 5\r\n\r\naudio";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_the_provider_with_the_key_and_comes_back_unchanged() {
    let (heads, mut seen) = mpsc::unbounded_channel();
    let provider = Provider::start(move |mut call| {
        let heads = heads.clone();
        async move {
            let body = call.body().await;
            heads.send((call.head.clone(), body)).unwrap();
            call.send(
                b"HTTP/1.1 200 Fine\r\ncontent-type: audio/mpeg\r\ncharacter-cost: 7\r\nset-cookie: a=b\r\n",
            )
            .await;
            call.send(b"connection: keep-alive, x-hop\r\nx-hop: 1\r\ncontent-length: 5\r\n\r\naudio")
                .await;
            Some(call)
        }
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let path = format!("{SPEAK}?output_format=mp3_44100_128&api_key=");
    let answer = fixture
        .request("POST", &path)
        .header("x-voxgate-attempts", "9")
        .header("connection", "x-api-key")
        .body(r#"{"text":"hello"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header("x-voxgate-provider").as_deref(), Some("elevenlabs"));
    assert_eq!(header("x-voxgate-credential").as_deref(), Some("user"));
    assert_eq!(header("x-voxgate-error"), None);
    assert_eq!(header("set-cookie"), None);
    assert_eq!(header("x-hop"), None);
    let request_id = header("x-voxgate-request-id").unwrap();
    assert_eq!(answer.bytes().await.unwrap(), "audio");

    let (head, body) = seen.recv().await.unwrap();
    assert_eq!(body, br#"{"text":"hello"}"#);
    assert!(head.contains(&format!("xi-api-key: {KEY}\r\n")), "{head}");
    assert!(
        head.to_lowercase()
            .contains(&format!("host: {}\r\n", provider.address)),
        "{head}"
    );
    assert!(
        !head.contains(&fixture.token) && !head.contains("x-voxgate-"),
        "{head}"
    );
    let event = fixture.usage(1).await.remove(0);
    assert_eq!((event.outcome, event.status), (Outcome::Ok, Some(200)));
    assert_eq!((event.bytes_in, event.bytes_out), (16, 5));
    assert_eq!(event.characters, Some(7));
    assert_eq!(event.request_id.to_string(), request_id);
    assert!(event.ttfb_ms.is_some() && event.credential_id.is_some() && event.token_id.is_some());
}

/// Each chunk must be there before the provider sends the next, so nothing can have been gathered.
async fn streams_without_gathering(framing: &'static str, frame: fn(&str) -> String) {
    let (go, gate) = mpsc::unbounded_channel::<()>();
    let gate = std::sync::Arc::new(tokio::sync::Mutex::new(gate));
    let provider = Provider::start(move |mut call| {
        let gate = gate.clone();
        async move {
            call.body().await;
            call.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes())
                .await;
            for chunk in ["one.", "two.", "six."] {
                call.send(frame(chunk).as_bytes()).await;
                gate.lock().await.recv().await;
            }
            call.send(if framing.starts_with("transfer") {
                b"0\r\n\r\n"
            } else {
                b""
            })
            .await;
            Some(call)
        }
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    for expected in ["one.", "two.", "six."] {
        let chunk = answer.chunk().await.unwrap().unwrap();
        assert_eq!(chunk, expected);
        go.send(()).unwrap();
    }
    assert_eq!(answer.chunk().await.unwrap(), None);
    assert_eq!(fixture.usage(1).await[0].bytes_out, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_passed_on_as_they_come() {
    streams_without_gathering("transfer-encoding: chunked", |chunk| {
        format!("{:x}\r\n{chunk}\r\n", chunk.len())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_of_known_length_is_passed_on_as_it_comes() {
    streams_without_gathering("content-length: 12", str::to_owned).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_256_mib_takes_constant_memory() {
    const SIZE: usize = 256 << 20;
    let provider = Provider::start(|mut call| async move {
        let seen = call.swallow().await.to_string();
        call.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{seen}", seen.len()).as_bytes())
            .await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, &format!("content-length: {SIZE}\r\n")))
        .await;
    let chunk = vec![7; 256 << 10];
    let (mut highest, before) = (0, resident_bytes());
    for _ in 0..SIZE / chunk.len() {
        wire.send(&chunk).await;
        highest = highest.max(resident_bytes());
    }
    wire.until(&SIZE.to_string()).await;
    let grown = highest.saturating_sub(before) >> 20;
    assert!(grown < 48, "grew by {grown} MiB");
    assert_eq!(fixture.usage(1).await[0].bytes_in, SIZE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_upload_arrives_whole_and_chunked() {
    let provider = Provider::start(|mut call| async move {
        assert_eq!(call.header("content-length"), None);
        let body = call.body().await;
        let sum = body.iter().map(|byte| u64::from(*byte)).sum::<u64>().to_string();
        call.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{sum}", sum.len()).as_bytes())
            .await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    for size in [0usize, 1, 65_536, 65_537, 3_000_000] {
        let mut wire = fixture.connect().await;
        wire.send(fixture.head("POST", LISTEN, "transfer-encoding: chunked\r\n"))
            .await;
        for part in vec![1; size].chunks(70_000) {
            wire.send(format!("{:x}\r\n", part.len())).await;
            wire.send(part).await;
            wire.send("\r\n").await;
        }
        wire.send("0\r\n\r\n").await;
        wire.until(&format!("\r\n\r\n{size}")).await;
    }
}

/// The framing of a chunk may arrive in pieces, none of which is the end of the body.
#[tokio::test(flavor = "multi_thread")]
async fn chunk_framing_that_drips_does_not_end_the_body() {
    let provider = Provider::start(|mut call| async move {
        let body = call.body().await;
        call.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes())
            .await;
        call.send(&body).await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "transfer-encoding: chunked\r\n"))
        .await;
    for byte in "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n".bytes() {
        wire.send([byte]).await;
        sleep(Duration::from_millis(5)).await;
    }
    wire.until("\r\n\r\nhello world").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_callers_are_served_alike() {
    let provider = Provider::start(|mut call| async move {
        let body = call.body().await;
        call.send(
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
                body.len()
            )
            .as_bytes(),
        )
        .await;
        call.send(&body).await;
        call.send(b"\r\n0\r\n\r\n").await;
        Some(call)
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    for size in [1usize, 65_537, 5 << 20] {
        let body = Bytes::from(vec![b'x'; size]);
        let request = client
            .post(fixture.url(LISTEN))
            .header("xi-api-key", &fixture.token)
            .body(body.clone());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        assert!(answer.headers().get("transfer-encoding").is_none());
        assert_eq!(answer.bytes().await.unwrap(), body);
    }
    fixture.usage(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_upload_does_not_count_as_waiting_for_the_answer() {
    let provider = Provider::always(OK).await;
    let mut options = Options::to(provider.address);
    options.timeouts.first_byte = Some(Duration::from_millis(300));
    let fixture = options.start().await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "content-length: 6\r\n"))
        .await;
    for _ in 0..6 {
        sleep(Duration::from_millis(150)).await;
        wire.send("x").await;
    }
    wire.until("\r\n\r\naudio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_long_silences_lives() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        for _ in 0..4 {
            sleep(Duration::from_millis(400)).await;
            call.send(b"1\r\nx\r\n").await;
        }
        call.send(b"0\r\n\r\n").await;
        Some(call)
    })
    .await;
    let mut options = Options::to(provider.address);
    options.timeouts = TimeoutOverrides {
        connect: None,
        first_byte: Some(Duration::from_millis(300)),
        idle: Some(Duration::from_millis(700)),
    };
    let fixture = options.start().await;
    let began = Instant::now();
    let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), "xxxx");
    assert!(began.elapsed() > Duration::from_millis(1500));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_and_answers_until_close_end_where_they_should() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        match call.target() {
            "/v1/voices" => {
                call.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
                None
            }
            "/v1/models" => {
                call.send(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                Some(call)
            }
            _ => {
                call.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
                    .await;
                call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast")
                    .await;
                Some(call)
            }
        }
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    for (path, status, body) in [
        ("/elevenlabs/v1/voices", 200, "until the end"),
        ("/elevenlabs/v1/models", 204, ""),
        ("/elevenlabs/v2/voices", 200, "last"),
    ] {
        let answer = fixture.request("GET", path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.text().await.unwrap(), body, "{path}");
    }
}
