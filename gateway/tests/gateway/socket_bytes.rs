//! Bytes of every kind, sent by hand to one strict server, directly and through the gateway: what comes back, and how
//! the connection ends, is the same to the byte.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use policies::socket::frames::{CloseFrame, Opcode, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::autobahn::UNSCRUBBED;
use crate::fixture::{Fixture, Options};
use crate::socket_fixture::{INPUT, PATIENCE, strict_echo};

const MASK: Option<[u8; 4]> = Some([0x5a, 0, 0xff, 0x31]);

/// What a caller sends before it says no more.
struct Case {
    name: String,
    bytes: Vec<u8>,
    /// No reader of frames can refuse it.
    valid: bool,
}

/// What came back, and whether the connection ended in good order.
#[derive(Debug, PartialEq, Eq)]
struct Transcript {
    bytes: Vec<u8>,
    ended: bool,
}

fn text(payload: &str) -> Vec<u8> {
    frame(Opcode::Text, MASK, payload.as_bytes())
}

fn close_frame() -> Vec<u8> {
    CloseFrame::new(1000, "").frame(MASK)
}

/// A frame that is not the last of its message.
fn part(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(opcode, MASK, payload);
    bytes[0] &= 0x7f;
    bytes
}

fn with_bits(mut bytes: Vec<u8>, bits: u8) -> Vec<u8> {
    bytes[0] |= bits;
    bytes
}

fn cases() -> Vec<Case> {
    let case = |valid: bool| move |(name, bytes): (String, Vec<u8>)| Case { name, bytes, valid };
    let named = |(name, parts): (&str, Vec<Vec<u8>>)| (name.to_owned(), parts.concat());
    let mut cases: Vec<_> = valid().into_iter().map(named).map(case(true)).collect();
    for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
        for opcode in [Opcode::Text, Opcode::Binary] {
            let bytes = [frame(opcode, MASK, &vec![b'*'; length]), close_frame()].concat();
            cases.push(case(true)((format!("{opcode:?} of {length}"), bytes)));
        }
    }
    for code in (1000..1016).chain([999, 0, 1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65_535]) {
        let bytes = CloseFrame::new(code, "because").frame(MASK);
        cases.push(case(true)((format!("close frame with {code}"), bytes)));
    }
    cases.extend(broken().into_iter().map(named).map(case(false)));
    cases
}

/// Frames by the letter. What they hold is the server's to judge.
fn valid() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let pings = (0..10).map(|nth| frame(Opcode::Ping, MASK, &[nth; 125]));
    vec![
        ("nothing at all", vec![]),
        ("an end without a close frame", vec![text("hello")]),
        ("ten pings", pings.chain([close_frame()]).collect()),
        (
            "a pong unasked",
            vec![frame(Opcode::Pong, MASK, b"?"), text("a"), close_frame()],
        ),
        (
            "pings between the parts of a message",
            vec![
                part(Opcode::Text, "ε".as_bytes()),
                frame(Opcode::Ping, MASK, b"1"),
                part(Opcode::Continuation, b""),
                frame(Opcode::Ping, MASK, b"2"),
                frame(Opcode::Continuation, MASK, b"b"),
                close_frame(),
            ],
        ),
        (
            "a character in two parts",
            vec![
                part(Opcode::Text, &[0xce]),
                frame(Opcode::Continuation, MASK, &[0xb5]),
                close_frame(),
            ],
        ),
        (
            "text that is none",
            vec![frame(Opcode::Text, MASK, &[0xed, 0xa0, 0x80]), close_frame()],
        ),
        (
            "text that turns out to be none",
            vec![part(Opcode::Text, b"ab\xf4\x90")],
        ),
        (
            "a close frame with nothing",
            vec![frame(Opcode::Close, MASK, b"")],
        ),
        (
            "a close frame of one byte",
            vec![frame(Opcode::Close, MASK, &[3])],
        ),
        (
            "the longest reason",
            vec![CloseFrame::new(4000, &"x".repeat(123)).frame(MASK)],
        ),
        (
            "a reason that is no text",
            vec![frame(Opcode::Close, MASK, &[3, 232, 0xff])],
        ),
        ("two close frames", vec![close_frame(), close_frame()]),
        (
            "a message behind the close frame",
            vec![close_frame(), text("late")],
        ),
        (
            "a close frame inside a message",
            vec![part(Opcode::Text, b"a"), close_frame()],
        ),
        ("an end inside a head", vec![text("a"), vec![0x81]]),
        ("an end inside a mask", vec![text("a"), vec![0x81, 0x85, 1, 2]]),
        (
            "an end inside a message",
            vec![text("a"), text("hello")[..8].to_vec()],
        ),
        (
            "an end inside a close frame",
            vec![text("a"), close_frame()[..7].to_vec()],
        ),
    ]
}

/// Frames that no standard allows.
fn broken() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let mut broken = vec![
        ("no mask", vec![frame(Opcode::Text, None, b"a")]),
        (
            "a close frame without a mask",
            vec![CloseFrame::new(1000, "").frame(None)],
        ),
        ("a ping in parts", vec![part(Opcode::Ping, b"a")]),
        (
            "a ping that is too long",
            vec![frame(Opcode::Ping, MASK, &[0; 126])],
        ),
        (
            "a close frame that is too long",
            vec![frame(Opcode::Close, MASK, &[3; 126])],
        ),
        ("a part of nothing", vec![frame(Opcode::Continuation, MASK, b"a")]),
        (
            "a message inside another",
            vec![part(Opcode::Text, b"a"), text("b")],
        ),
        (
            "binary inside text",
            vec![part(Opcode::Text, b"a"), frame(Opcode::Binary, MASK, b"b")],
        ),
    ];
    for bits in [0x40, 0x20, 0x10, 0x70] {
        broken.push(("reserved bits", vec![with_bits(text("a"), bits)]));
        broken.push((
            "reserved bits of a ping",
            vec![with_bits(frame(Opcode::Ping, MASK, b""), bits)],
        ));
    }
    for code in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        broken.push(("an unknown kind", vec![frame(Opcode::Other(code), MASK, b"a")]));
    }
    broken
}

async fn transcript((address, head): (SocketAddr, &str), case: &Case, piece: usize) -> Transcript {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", answer.escape_ascii());
    let (mut from, mut to) = stream.into_split();
    let sends = async {
        for piece in case.bytes.chunks(piece) {
            // A connection that has been refused takes no more, which shows in what is read.
            if to.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        // Whoever answers has its time to.
        sleep(Duration::from_millis(30)).await;
        to.shutdown().await.ok();
    };
    let reads = async {
        let mut bytes = Vec::new();
        let ended = from.read_to_end(&mut bytes).await.is_ok();
        Transcript { bytes, ended }
    };
    let both = async { tokio::join!(sends, reads).1 };
    timeout(PATIENCE, both)
        .await
        .unwrap_or_else(|_| panic!("{} does not end", case.name))
}

fn asked(fixture: &Fixture, path: &str) -> String {
    let token = &fixture.token;
    format!(
        "GET {path} HTTP/1.1\r\nhost: gateway\r\nxi-api-key: {token}\r\nocp-apim-subscription-key: {token}\r\n\
         connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n"
    )
}

/// Which pieces bytes come in.
fn pieces(case: &Case) -> Vec<usize> {
    let small = case.bytes.len() < 1_000;
    let pieces = [1, 2, 3, 7, 4_096, usize::MAX];
    pieces.into_iter().filter(|piece| small || *piece > 7).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_the_same_to_the_byte() {
    let server = strict_echo().await;
    let options = Options {
        azure: Some(server.address),
        ..Options::to(server.address)
    };
    let fixture = options.start().await;
    let direct = "GET / HTTP/1.1\r\nhost: server\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let (unscrubbed, scrubbed) = (asked(&fixture, UNSCRUBBED), asked(&fixture, INPUT));
    let ways = Ways {
        direct: (server.address, direct),
        unscrubbed: (fixture.address(), &unscrubbed),
        scrubbed: (fixture.address(), &scrubbed),
    };
    let all = cases();
    futures::stream::iter(&all)
        .for_each_concurrent(8, |case| ways.agree_on(case))
        .await;
}

/// Where to connect and what to ask for.
struct Ways<'w> {
    direct: (SocketAddr, &'w str),
    unscrubbed: (SocketAddr, &'w str),
    scrubbed: (SocketAddr, &'w str),
}

impl Ways<'_> {
    async fn agree_on(&self, case: &Case) {
        for piece in pieces(case) {
            let expected = transcript(self.direct, case, piece).await;
            let found = transcript(self.unscrubbed, case, piece).await;
            assert_eq!(found, expected, "{} in pieces of {piece}", case.name);
            let found = transcript(self.scrubbed, case, piece).await;
            if case.valid {
                assert_eq!(found, expected, "{} in pieces of {piece}, scrubbed", case.name);
            } else {
                // The gateway's own words, behind the same code.
                let fails = [&expected, &found].map(|transcript| (transcript.ended, code(&transcript.bytes)));
                assert_eq!(fails[0], fails[1], "{} in pieces of {piece}, scrubbed", case.name);
            }
        }
    }
}

/// With which code a transcript ends that is a close frame alone.
fn code(bytes: &[u8]) -> Option<u16> {
    assert_eq!(bytes[0], 0x88, "{}", bytes.escape_ascii());
    CloseFrame::read(&bytes[2..]).code
}
