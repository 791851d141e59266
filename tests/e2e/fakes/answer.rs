//! Sending answers: well, slowly, partly, elsewhere or not at all.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{Response, StatusCode};

use super::behaviour::{Behaviour, Canned, Gate};
use super::{Call, Ending, Reply};

const PIECE: usize = 4096;

pub fn whole(call: Call, canned: Canned) -> Response<Body> {
    let length = canned.body.len();
    let plan = vec![Step::Piece(canned.body.into())];
    let mut response = respond(canned.status, canned.headers, body(call, plan));
    response.headers_mut().insert("content-length", length.into());
    response
}

/// The provider broke the connection instead of answering.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the provider breaks the connection")
    }
}

impl std::error::Error for Broken {}

pub async fn as_told(mut call: Call, behaviour: Behaviour, reply: Reply) -> Result<Response<Body>, Broken> {
    Ok(match behaviour {
        Behaviour::Normal | Behaviour::Socket(_) => send(call, reply, Vec::new()),
        Behaviour::AddHeaders(headers) => send(call, reply, headers),
        Behaviour::Refuse(canned) | Behaviour::AnswerEarly(canned) => whole(call, canned),
        Behaviour::Redirect(to) => whole(
            call,
            Canned::text(307, "text/plain", "moved").header("location", &to),
        ),
        Behaviour::StallBeforeHead => {
            // The future is dropped, and with it the call, when the other side leaves.
            std::future::pending::<()>().await;
            unreachable!("pending never ends")
        }
        Behaviour::CutBeforeHead => {
            call.settle(Ending::Cut);
            return Err(Broken);
        }
        Behaviour::Stream { pieces, pause } => stream_audio(call, pieces, pause),
        Behaviour::StallAfter(bytes) => broken(call, bytes, Step::Stall),
        Behaviour::CutAfter(bytes) => broken(call, bytes, Step::Cut),
        Behaviour::Large(bytes) => large(call, bytes),
        Behaviour::Once(_) => unreachable!("unwrapped when the key was looked up"),
        Behaviour::HoldAfter { bytes, gate } => interrupted(call, reply, bytes, Step::Hold(gate)),
        Behaviour::BreakAfter(bytes) => interrupted(call, reply, bytes, Step::Cut),
        Behaviour::Instead {
            content_type,
            body: bytes,
        } => {
            let headers = vec![("content-type", content_type.to_owned())];
            respond(StatusCode::OK, headers, body(call, vec![Step::Piece(bytes)]))
        }
    })
}

fn send(call: Call, reply: Reply, added: Vec<(&'static str, String)>) -> Response<Body> {
    match reply {
        Reply::Whole(mut canned) => {
            canned.headers.extend(added);
            whole(call, canned)
        }
        Reply::Audio {
            content_type,
            mut headers,
            pieces,
            pause,
        } => {
            headers.push(("content-type", content_type.to_owned()));
            headers.extend(added);
            let plan = paced(pieces, pause);
            respond(StatusCode::OK, headers, body(call, plan))
        }
    }
}

/// The proper answer with `step` after so many bytes of it.
fn interrupted(call: Call, reply: Reply, bytes: usize, step: Step) -> Response<Body> {
    let (status, headers, whole) = match reply {
        Reply::Whole(canned) => (canned.status, canned.headers, Bytes::from(canned.body)),
        Reply::Audio {
            content_type,
            mut headers,
            pieces,
            ..
        } => {
            headers.push(("content-type", content_type.to_owned()));
            (StatusCode::OK, headers, Bytes::from(pieces.concat()))
        }
    };
    let at = bytes.min(whole.len());
    let plan = vec![
        Step::Piece(whole.slice(..at)),
        step,
        Step::Piece(whole.slice(at..)),
    ];
    respond(status, headers, body(call, plan))
}

fn stream_audio(call: Call, pieces: usize, pause: Duration) -> Response<Body> {
    let pieces =
        (0..pieces).map(|n| super::audio::speak(super::audio::Container::Raw, &n.to_string(), PIECE));
    audio(call, paced(pieces.collect(), pause))
}

fn broken(call: Call, bytes: usize, end: Step) -> Response<Body> {
    let sound = super::audio::speak(super::audio::Container::Raw, "broken", bytes);
    audio(call, vec![Step::Piece(sound), end])
}

fn large(call: Call, bytes: u64) -> Response<Body> {
    const BLOCK: usize = 64 << 10;
    let block = super::audio::speak(super::audio::Container::Raw, "large", BLOCK);
    let plan = (0..bytes / BLOCK as u64)
        .map(|_| Step::Piece(block.clone()))
        .collect();
    audio(call, plan)
}

fn audio(call: Call, plan: Vec<Step>) -> Response<Body> {
    respond(
        StatusCode::OK,
        vec![("content-type", "audio/mpeg".to_owned())],
        body(call, plan),
    )
}

fn respond(status: StatusCode, headers: Vec<(&'static str, String)>, body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).expect("headers written by hand")
}

enum Step {
    Piece(Bytes),
    Pause(Duration),
    Stall,
    Hold(Gate),
    Cut,
}

fn paced(pieces: Vec<Bytes>, pause: Duration) -> Vec<Step> {
    let mut plan = Vec::new();
    for piece in pieces {
        if !plan.is_empty() && !pause.is_zero() {
            plan.push(Step::Pause(pause));
        }
        plan.push(Step::Piece(piece));
    }
    plan
}

/// The body that carries out a plan. The call is settled when the plan has ended, and abandoned when dropped before.
fn body(call: Call, plan: Vec<Step>) -> Body {
    let steps = stream::unfold((call, plan.into_iter()), |(mut call, mut plan)| async move {
        loop {
            match plan.next() {
                None => {
                    call.settle(Ending::Complete);
                    return None;
                }
                Some(Step::Piece(piece)) => {
                    call.sent();
                    return Some((Ok(piece), (call, plan)));
                }
                Some(Step::Pause(pause)) => tokio::time::sleep(pause).await,
                Some(Step::Stall) => std::future::pending().await,
                Some(Step::Hold(gate)) => gate.opened().await,
                Some(Step::Cut) => {
                    // What was handed over before must have left the socket, or it would be lost with it.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    call.settle(Ending::Cut);
                    return Some((
                        Err(io::Error::other("the provider cuts")),
                        (call, Vec::new().into_iter()),
                    ));
                }
            }
        }
    });
    Body::from_stream(steps.boxed())
}
