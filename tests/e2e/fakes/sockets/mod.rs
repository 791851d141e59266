//! WebSockets of the strict providers: which paths have one, what is refused before the upgrade, and the conversation
//! that each holds with real sound.

mod azure_recognition;
mod azure_speech;
mod conduct;
mod elevenlabs_dialogue;
mod elevenlabs_realtime;
mod elevenlabs_speech;
pub mod gemini_live;
mod link;
mod pauses;
mod query;
mod usp;

use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::answer::{self, Broken};
use super::seen::SocketSeen;
use super::server::Wire;
use super::{Behaviour, Call, Canned, Ending, Kind, Reply, Seen};
pub use conduct::{Act, Conduct};
use link::{Link, Over};

/// A conversation that a path has, ready to be held.
enum Protocol {
    ElevenLabsSpeech(elevenlabs_speech::Setting),
    ElevenLabsDialogue(elevenlabs_dialogue::Setting),
    ElevenLabsRealtime(elevenlabs_realtime::Setting),
    AzureSpeech,
    AzureRecognition(azure_recognition::Setting),
    GeminiLive,
}

/// What became of the key that the head showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Known,
    Unknown,
    Absent,
}

pub async fn answer(call: Call, head: Parts, behaviour: Option<Behaviour>) -> Result<Response<Body>, Broken> {
    let seen = call.seen();
    let key = match (&behaviour, call.fake.kind.key_of(&seen)) {
        (Some(_), _) => Key::Known,
        (None, Some(key)) if !key.is_empty() => Key::Unknown,
        (None, _) => Key::Absent,
    };
    let conduct = match behaviour {
        None | Some(Behaviour::Normal) => None,
        Some(Behaviour::Socket(conduct)) => Some(conduct),
        Some(other) => {
            let nothing = Reply::Whole(Canned::text(500, "text/plain", "this is no answer to an upgrade"));
            return answer::as_told(call, other, nothing).await;
        }
    };
    match protocol(&call, &seen, key) {
        Ok(protocol) => Ok(upgrade(call, head, protocol, key, conduct)),
        Err(refusal) => Ok(answer::whole(call, refusal)),
    }
}

/// What is spoken on this path, unless the provider refuses before the upgrade.
fn protocol(call: &Call, seen: &Seen, key: Key) -> Result<Protocol, Canned> {
    // One SDK doubles the slash where its base URL has no path; the gateway is to collapse it.
    let path = match seen.path.strip_prefix("//") {
        Some(rest) if call.fake.from_sdks => rest,
        _ => &seen.path[1..],
    };
    let path: Vec<&str> = path.split('/').collect();
    let protocol = match (call.fake.kind, path.as_slice()) {
        (Kind::ElevenLabs, ["v1", "text-to-speech", voice, kind]) => {
            let setting = elevenlabs_speech::setting(call, seen, voice, kind)?;
            setting.map(Protocol::ElevenLabsSpeech)
        }
        (Kind::ElevenLabs, ["v1", "text-to-dialogue", kind]) => {
            let setting = elevenlabs_dialogue::setting(call, seen, kind)?;
            setting.map(Protocol::ElevenLabsDialogue)
        }
        (Kind::ElevenLabs, ["v1", "speech-to-text", "realtime"]) => {
            let setting = elevenlabs_realtime::setting(call, seen);
            Some(Protocol::ElevenLabsRealtime(setting))
        }
        (Kind::AzureTts, path) => {
            let checked = azure_speech::check(call, seen, path, key)?;
            checked.map(|()| Protocol::AzureSpeech)
        }
        (Kind::AzureStt, path) => {
            let setting = azure_recognition::setting(call, seen, path, key)?;
            setting.map(Protocol::AzureRecognition)
        }
        (Kind::Gemini, ["ws", service]) if gemini_live::serves(service) => {
            gemini_live::check(call, seen);
            Some(Protocol::GeminiLive)
        }
        _ => None,
    };
    if let Some(protocol) = protocol {
        return Ok(protocol);
    }
    call.violation("there is no WebSocket on this path");
    Err(Canned::text(404, "text/plain", "Not Found"))
}

fn upgrade(
    call: Call,
    head: Parts,
    protocol: Protocol,
    key: Key,
    conduct: Option<Conduct>,
) -> Response<Body> {
    let Some(nonce) = head.headers.get("sec-websocket-key") else {
        call.violation("Sec-WebSocket-Key is missing");
        return answer::whole(call, Canned::text(400, "text/plain", "Bad Request"));
    };
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", derive_accept_key(nonce.as_bytes()));
    if offers_usp(&head) {
        response = response.header("sec-websocket-protocol", "USP");
    }
    let mut extensions = head.extensions;
    let upgrading = extensions.remove::<OnUpgrade>().expect("HTTP/1.1 upgrades");
    let wire = extensions
        .remove::<Arc<Wire>>()
        .expect("every request has its wire");
    call.note(|seen| seen.socket = Some(SocketSeen::default()));
    let fake = call.fake.clone();
    let talking = tokio::spawn(converse(call, upgrading, wire, protocol, key, conduct));
    fake.line
        .get()
        .expect("set when it was started")
        .keep(talking.abort_handle());
    response.body(Body::empty()).expect("headers written by hand")
}

/// Only Azure has a subprotocol, and answers with it when it is among those that are offered.
fn offers_usp(head: &Parts) -> bool {
    let offered = head.headers.get_all("sec-websocket-protocol");
    let mut names = offered
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.any(|name| name.trim_ascii() == b"USP")
}

async fn converse(
    mut call: Call,
    upgrading: OnUpgrade,
    wire: Arc<Wire>,
    protocol: Protocol,
    key: Key,
    conduct: Option<Conduct>,
) {
    let Ok(upgraded) = upgrading.await else {
        call.settle(Ending::Abandoned);
        return;
    };
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let mut link = Link::new(call, socket, wire, conduct);
    let Err(Over) = hold(&mut link, protocol, key).await;
}

/// Ends when the socket does.
async fn hold(link: &mut Link, protocol: Protocol, key: Key) -> Result<std::convert::Infallible, Over> {
    link.begin().await?;
    match protocol {
        Protocol::ElevenLabsSpeech(setting) => elevenlabs_speech::converse(link, setting, key).await,
        Protocol::ElevenLabsDialogue(setting) => elevenlabs_dialogue::converse(link, setting, key).await,
        Protocol::ElevenLabsRealtime(setting) => elevenlabs_realtime::converse(link, setting, key).await,
        Protocol::AzureSpeech => azure_speech::converse(link).await,
        Protocol::AzureRecognition(setting) => azure_recognition::converse(link, setting).await,
        Protocol::GeminiLive => gemini_live::converse(link, key).await,
    }
}
