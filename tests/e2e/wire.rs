//! Bytes on the socket, where HTTP clients would be too polite to send them.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fakes::{Behaviour, Ending, elevenlabs};
use crate::harness::config::set;
use crate::harness::{Database, User, World};

/// A connection to the gateway.
struct Wire(TcpStream);

impl Wire {
    async fn open(world: &World) -> Self {
        Self(
            TcpStream::connect(&world.node().gateway)
                .await
                .expect("connect to the gateway"),
        )
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A gateway that has seen enough may close before everything is sent.
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// What arrives until `mark` is in it or the other side closes.
    async fn until(&mut self, mark: &str) -> String {
        let mut received = Vec::new();
        let reading = async {
            let mut buffer = [0; 4_096];
            while let Ok(read @ 1..) = self.0.read(&mut buffer).await {
                received.extend_from_slice(&buffer[..read]);
                if !mark.is_empty() && String::from_utf8_lossy(&received).contains(mark) {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reading)
            .await
            .expect("an answer, or the end of the connection");
        String::from_utf8_lossy(&received).into_owned()
    }

    /// All that arrives until the other side closes.
    async fn rest(&mut self) -> String {
        self.until("").await
    }
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0)
}

fn speech(user: &User, more: &str, body: &str) -> String {
    format!(
        "POST /elevenlabs/v1/text-to-speech/{} HTTP/1.1\r\nHost: gateway\r\nxi-api-key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n{body}",
        elevenlabs::VOICE,
        user.token,
        body.len()
    )
}

fn list(user: &User, more: &str) -> String {
    format!(
        "GET /elevenlabs/v1/models HTTP/1.1\r\nHost: gateway\r\nxi-api-key: {}\r\n{more}\r\n",
        user.token
    )
}

const BODY: &str = r#"{"text":"on the wire"}"#;
const CLOSE: &str = "Connection: close\r\n";

async fn world_and_user() -> (World, User, String) {
    let world = World::configured(Database::Sqlite, |config, _| {
        set(config, "gateway.head_timeout_seconds", 2);
        set(config, "gateway.write_timeout_seconds", 2);
    })
    .await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    (world, user, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_asks_before_sending_is_told_to_go_on_or_refused() {
    let (world, user, key) = world_and_user().await;
    let mut wire = Wire::open(&world).await;
    let head = speech(&user, &format!("Expect: 100-continue\r\n{CLOSE}"), BODY);
    let (head, body) = head.split_at(head.len() - BODY.len());
    wire.send(head).await;
    assert_eq!(status(&wire.until("\r\n\r\n").await), 100);
    wire.send(body).await;
    assert_eq!(status(&wire.rest().await), 200);
    assert_eq!(world.fakes.elevenlabs.last_call(&key).body, BODY);

    let mut wire = Wire::open(&world).await;
    let nobody = User::of_token("nobody", "nonsense");
    let head = speech(&nobody, "Expect: 100-continue\r\n", BODY);
    wire.send(&head[..head.len() - BODY.len()]).await;
    let answer = wire.until("unauthenticated").await;
    assert_eq!(status(&answer), 401, "refused without the body: {answer}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_carries_many_calls() {
    let (world, user, _) = world_and_user().await;
    let mut wire = Wire::open(&world).await;
    for _ in 0..3 {
        wire.send(list(&user, "")).await;
        assert_eq!(status(&wire.until("eleven_flash_v2_5").await), 200);
        wire.send(list(&User::of_token("nobody", "nonsense"), "")).await;
        assert_eq!(status(&wire.until("unauthenticated").await), 401);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_two_parsers_might_read_differently_are_refused() {
    let (world, user, _) = world_and_user().await;
    let token = &user.token;
    let before = world.fakes.elevenlabs.call_count();
    let crooked = [
        (
            "no host",
            format!("GET /elevenlabs/v1/models HTTP/1.1\r\nxi-api-key: {token}\r\n{CLOSE}\r\n"),
        ),
        (
            "two lengths",
            speech(&user, &format!("Content-Length: 5\r\n{CLOSE}"), BODY),
        ),
        (
            "a header folded over lines",
            list(&user, &format!("X-Folded: a\r\n b\r\n{CLOSE}")),
        ),
        (
            "a space before the colon",
            list(&user, &format!("X-Spaced : a\r\n{CLOSE}")),
        ),
        ("no HTTP", "\x16\x03\x01 hello\r\n\r\n".to_owned()),
        (
            "a tunnel",
            format!("CONNECT api.elevenlabs.io:443 HTTP/1.1\r\nHost: gateway\r\nxi-api-key: {token}\r\n\r\n"),
        ),
        (
            "a head of a mebibyte",
            list(&user, &format!("X-Long: {}\r\n", "a".repeat(1 << 20))),
        ),
    ];
    for (what, request) in crooked {
        let mut wire = Wire::open(&world).await;
        wire.send(request).await;
        let answer = wire.rest().await;
        assert!(
            answer.is_empty() || (400..500).contains(&status(&answer)),
            "{what}: {answer}"
        );
        assert!(
            answer.matches("HTTP/1.").count() <= 1,
            "{what} is answered once: {answer}"
        );
    }
    assert_eq!(
        world.fakes.elevenlabs.call_count(),
        before,
        "nothing goes upstream"
    );
    world.end().await;
}

/// Chunks win over a length; whatever follows them is not read as another request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_hidden_in_a_body_is_not_found_there() {
    let (world, user, key) = world_and_user().await;
    let chunks = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let hidden = list(&user, "");
    let mut wire = Wire::open(&world).await;
    wire.send(speech(
        &user,
        "Transfer-Encoding: chunked\r\n",
        &format!("{chunks}{hidden}"),
    ))
    .await;
    let answer = wire.rest().await;
    assert_eq!(
        answer.matches("HTTP/1.1 ").count(),
        1,
        "answered once, then closed: {answer}"
    );
    let calls = world.fakes.elevenlabs.calls_with(&key);
    assert!(
        calls[1..]
            .iter()
            .all(|call| call.path.starts_with("/v1/text-to-speech/") && call.body == BODY),
        "{calls:?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_not_waited_for() {
    let (world, user, _) = world_and_user().await;
    let mut wire = Wire::open(&world).await;
    let head = list(&user, "");
    let began = Instant::now();
    let dripping = async {
        // A byte now and then keeps every timeout awake but the one on the whole head.
        for byte in head.as_bytes() {
            wire.send([*byte]).await;
            let mut answer = [0; 512];
            match tokio::time::timeout(Duration::from_millis(200), wire.0.read(&mut answer)).await {
                Err(_) => {}
                Ok(_) => break,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(8), dripping)
        .await
        .expect("the connection is ended");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_stops_does_not_hold_the_provider() {
    let (world, user, key) = world_and_user().await;
    world.fakes.elevenlabs.treat(&key, Behaviour::Large(256 << 20));
    let mut wire = Wire::open(&world).await;
    wire.send(speech(&user, CLOSE, BODY)).await;
    wire.until("HTTP/1.1 200").await;
    world
        .fakes
        .elevenlabs
        .until(&key, "the call was given up", |seen| {
            seen.ending == Ending::Abandoned
        })
        .await;
    assert_eq!(world.usage(&user, 1).await[0]["outcome"], "interrupted");
    world.end().await;
}
