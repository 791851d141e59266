//! Calls that end badly, or while the gateway stops: the other side notices at once, and one event tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policies::vocabulary::Outcome;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::fixture::{Fixture, LISTEN, Options, SPEAK, client};
use crate::provider::Provider;

const SOON: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
enum Moment {
    Upload,
    Wait,
    Download,
}

/// The caller leaves at `moment`; the provider must see its connection end at once.
async fn caller_leaves(moment: Moment) {
    let (reached, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let provider = {
        let (reached, ended) = (reached.clone(), ended.clone());
        Provider::start(move |mut call| {
            let (reached, ended) = (reached.clone(), ended.clone());
            async move {
                match moment {
                    Moment::Upload => assert!(call.more().await),
                    Moment::Wait => drop(call.body().await),
                    Moment::Download => {
                        call.body().await;
                        call.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
                            .await;
                    }
                }
                reached.notify_one();
                call.closed().await;
                ended.notify_one();
                None
            }
        })
        .await
    };
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "content-length: 1000\r\n"))
        .await;
    wire.send(vec![
        b'x';
        if matches!(moment, Moment::Upload) {
            500
        } else {
            1000
        }
    ])
    .await;
    timeout(SOON, reached.notified()).await.unwrap();
    if matches!(moment, Moment::Download) {
        wire.until("abc").await;
    }
    drop(wire);
    timeout(SOON, ended.notified())
        .await
        .unwrap_or_else(|_| panic!("{moment:?}: the upstream call went on"));
    let event = fixture.usage(1).await.remove(0);
    assert_eq!(event.outcome, Outcome::Interrupted, "{moment:?}");
    assert_eq!(
        event.status,
        matches!(moment, Moment::Download).then_some(200),
        "{moment:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_ends_the_upstream_call() {
    for moment in [Moment::Upload, Moment::Wait, Moment::Download] {
        caller_leaves(moment).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_caller_who_leaves_ends_the_upstream_call() {
    let ended = Arc::new(Notify::new());
    let provider = {
        let ended = ended.clone();
        Provider::start(move |mut call| {
            let ended = ended.clone();
            async move {
                call.body().await;
                call.closed().await;
                ended.notify_one();
                None
            }
        })
        .await
    };
    let fixture = Fixture::to(provider.address).await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let call = client
        .post(fixture.url(SPEAK))
        .header("xi-api-key", &fixture.token)
        .body("{}")
        .send();
    assert!(timeout(Duration::from_millis(400), call).await.is_err());
    timeout(SOON, ended.notified()).await.unwrap();
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Interrupted);
}

/// The provider stops in the middle of an answer; the caller must not take what came for all of it.
async fn provider_breaks_off(head: &'static str, reset: bool) {
    let provider = Provider::start(move |mut call| async move {
        call.body().await;
        call.send(head.as_bytes()).await;
        sleep(Duration::from_millis(100)).await;
        if reset {
            call.reset();
        }
        None
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", SPEAK, "content-length: 2\r\n") + "{}")
        .await;
    let (text, _) = wire.rest().await;
    assert!(text.contains("abc") && !text.contains("0\r\n\r\n"), "{text}");
    let http2 = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    for client in [client(), http2] {
        let call = client
            .post(fixture.url(SPEAK))
            .header("xi-api-key", &fixture.token)
            .body("{}");
        assert!(call.send().await.unwrap().bytes().await.is_err());
    }
    assert!(
        fixture
            .usage(3)
            .await
            .iter()
            .all(|event| event.outcome == Outcome::Interrupted)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_never_passed_on_as_complete() {
    for head in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
    ] {
        provider_breaks_off(head, false).await;
        provider_breaks_off(head, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_in_mid_stream_ends_the_call() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await;
        call.closed().await;
        None
    })
    .await;
    let mut options = Options::to(provider.address);
    options.timeouts.idle = Some(Duration::from_millis(300));
    let fixture = options.start().await;
    let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    assert!(answer.bytes().await.is_err());
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Interrupted);
}

async fn single_threaded(provider: &Provider) -> Fixture {
    let mut options = Options::to(provider.address);
    options.workers = 1;
    options.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_pooled_connection_is_replaced_only_when_nothing_can_have_happened() {
    // The first request on each connection is answered, the second finds it closed.
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        if call.head.contains("x-second") && call.connection == 0 {
            return None;
        }
        call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        Some(call)
    })
    .await;
    let fixture = single_threaded(&provider).await;
    let voices = "/elevenlabs/v1/voices";
    assert_eq!(fixture.request("GET", voices).send().await.unwrap().status(), 200);
    let again = fixture
        .request("GET", voices)
        .header("x-second", "1")
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(provider.connections(), 2);
    assert_eq!(fixture.usage(2).await[0].outcome, Outcome::Ok);

    let provider = Provider::start(|mut call| async move {
        call.body().await;
        if call.head.contains("x-second") {
            return None;
        }
        call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        Some(call)
    })
    .await;
    let fixture = single_threaded(&provider).await;
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
    let again = fixture
        .request("POST", SPEAK)
        .header("x-second", "1")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 502);
    assert_eq!(again.headers()["x-voxgate-error"], "provider_unreachable");
    assert_eq!(provider.connections(), 1);
    assert_eq!(fixture.usage(2).await[0].outcome, Outcome::Error);
}

fn slow_stream() -> impl Future<Output = Provider> {
    Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        for _ in 0..10 {
            call.send(b"1\r\nx\r\n").await;
            sleep(Duration::from_millis(100)).await;
        }
        call.send(b"0\r\n\r\n").await;
        Some(call)
    })
}

async fn nobody_listens(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_lets_streams_end_and_returns_with_the_last_one() {
    let provider = slow_stream().await;
    let mut fixture = Fixture::to(provider.address).await;
    let mut idle = fixture.connect().await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.until("ok\n").await;
    let mut answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    let running = fixture.take_running();
    assert_eq!(running.in_flight(), 1);
    let began = Instant::now();
    let drained = tokio::spawn(running.drain(Duration::from_secs(20)));
    let (_, orderly) = timeout(SOON, idle.rest())
        .await
        .expect("an idle connection stayed open");
    assert!(orderly);
    timeout(Duration::from_millis(500), nobody_listens(fixture.address()))
        .await
        .expect("the listener stayed open");
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        body.extend_from_slice(&chunk);
    }
    assert_eq!(body, b"xxxxxxxxxx");
    timeout(Duration::from_millis(500), drained)
        .await
        .expect("it waited for nothing")
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_cuts_streams_at_the_deadline_and_records_them() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
            .await;
        call.closed().await;
        None
    })
    .await;
    let mut fixture = Fixture::to(provider.address).await;
    let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    let began = Instant::now();
    fixture.take_running().drain(Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(answer.bytes().await.is_err());
    assert_eq!(fixture.usage(1).await[0].outcome, Outcome::Interrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_cut_and_a_slow_one_is_not() {
    let provider = Provider::start(|mut call| async move {
        call.body().await;
        call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n")
            .await;
        let chunk = vec![b'x'; 1 << 16];
        for _ in 0..1024 {
            call.send(&chunk).await;
        }
        None
    })
    .await;
    let mut options = Options::to(provider.address);
    options.write_timeout = Duration::from_millis(700);
    let fixture = options.start().await;
    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", SPEAK, "content-length: 2\r\n") + "{}")
        .await;
    let event = fixture.usage(1).await.remove(0);
    assert_eq!(event.outcome, Outcome::Interrupted);
    assert!(event.bytes_out < 67_108_864);
    drop(wire);

    let mut answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
    let mut seen = 0;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        seen += chunk.len();
        if seen % 16 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(seen, 67_108_864);
}
