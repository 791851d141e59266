//! What messages consume does not depend on how they are cut, for each provider whose messages are read.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use policies::descriptor::{EndpointMethod, Providers};
use policies::rules::{Inbound, Route, recognise};
use policies::socket::{Heard, Side, SocketMeter, SocketReading};

use super::{cut, pieces};

pub static PROVIDERS: LazyLock<Providers> =
    LazyLock::new(|| Providers::built_in().unwrap_or_else(|errors| panic!("{errors}")));

const TARGETS: [&str; 8] = [
    "/elevenlabs/v1/text-to-speech/v/stream-input?model_id=eleven_flash_v2_5&output_format=pcm_16000",
    "/elevenlabs/v1/text-to-speech/v/multi-stream-input",
    "/elevenlabs/v1/text-to-dialogue/multi-stream-input?output_format=mp3_44100_128",
    "/elevenlabs/v1/speech-to-text/realtime?audio_format=ulaw_8000",
    "/azure/cognitiveservices/websocket/v1",
    "/azure/speech/universal/v2?language=en-US",
    "/azure/speech/recognition/conversation/cognitiveservices/v1",
    "/gemini/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
];

static SOCKETS: LazyLock<Vec<(Inbound, Route)>> = LazyLock::new(|| TARGETS.map(socket).into());

fn socket(target: &str) -> (Inbound, Route) {
    let uri: Uri = target.parse().expect("targets are URIs");
    let asked = [("connection", "upgrade"), ("upgrade", "websocket")];
    let headers: HeaderMap = asked
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .into_iter()
        .collect();
    let inbound = recognise(&Method::GET, &uri, &headers, &PROVIDERS);
    let inbound = inbound.unwrap_or_else(|(_, refusal)| panic!("{target}: {refusal:?}"));
    let mut endpoints = inbound.provider.endpoints.iter();
    let endpoint = endpoints.position(|endpoint| {
        let path = inbound.raw_path.strip_prefix(endpoint.upstream_prefix.as_str());
        endpoint.method == EndpointMethod::WebSocket
            && path.is_some_and(|path| endpoint.path.matches(path, |_, _| {}))
    });
    let route = Route {
        provider: inbound.provider.clone(),
        endpoint: endpoint.unwrap_or_else(|| panic!("{target} is not listed")),
        model_from_path: None,
    };
    assert!(route.endpoint().socket.is_read(), "{target}");
    (inbound, route)
}

struct Message<'m> {
    side: Side,
    binary: bool,
    payload: &'m [u8],
}

pub fn check(input: &[u8]) {
    let Some((kind, piece, rest)) = cut(input) else {
        return;
    };
    let socket = &SOCKETS[usize::from(kind) % SOCKETS.len()];
    let messages = messages(rest);
    let whole = heard(socket, &messages, usize::MAX);
    let seconds = [whole.0.audio_in, whole.0.audio_out, whole.0.call.audio_seconds];
    for seconds in seconds.into_iter().flatten() {
        assert!(seconds.is_finite() && seconds >= 0.0, "{seconds} seconds");
    }
    for piece in pieces(piece) {
        assert_eq!(heard(socket, &messages, piece), whole, "in pieces of {piece}");
    }
}

/// Each has its side and kind before it, and a byte that no UTF-8 holds where another follows.
fn messages(bytes: &[u8]) -> Vec<Message<'_>> {
    let parts = bytes.split(|byte| *byte == 0xff);
    parts
        .filter_map(|part| {
            let (flags, payload) = part.split_first()?;
            Some(Message {
                side: [Side::Caller, Side::Provider][usize::from(flags & 1)],
                binary: flags & 2 != 0,
                payload,
            })
        })
        .collect()
}

fn heard(
    (inbound, route): &(Inbound, Route),
    messages: &[Message],
    piece: usize,
) -> (SocketReading, Vec<Heard>) {
    let mut meter = SocketMeter::start(route, inbound.query.as_deref());
    let heard = messages.iter().map(|message| {
        meter.begin(message.side, message.binary);
        let pieces = message.payload.chunks(piece);
        pieces.for_each(|piece| meter.payload(message.side, piece));
        meter.end(message.side)
    });
    let heard = heard.collect();
    (meter.reading(), heard)
}
