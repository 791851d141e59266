//! A request body read whole: bounded, and not waited for for ever.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use pingora::protocols::http::ServerSession;
use policies::vocabulary::{Code, Refusal};
use tokio::time::timeout;

use super::attempts::Unanswered;
use crate::stages::Fault;
use crate::stages::admit::too_large;
use crate::stages::relay::{caller_fault, expects_continue};

const WHOLE_BODY: Duration = Duration::from_secs(120);

/// Refuses a body that is announced as too large, and tells a caller who waits for it to go on.
pub async fn invite(session: &mut ServerSession, most: u64) -> Result<(), Unanswered> {
    let head = session.req_header();
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced: Option<u64> = announced.and_then(|length| length.to_str().ok()?.trim().parse().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large(most).into());
    }
    if expects_continue(head) && !session.is_body_done() {
        let invited = session.write_continue_response().await;
        invited.map_err(|_| Unanswered::CallerLeft)?;
    }
    Ok(())
}

pub async fn read_whole(session: &mut ServerSession, most: u64) -> Result<Bytes, Unanswered> {
    invite(session, most).await?;
    timeout(WHOLE_BODY, collect(session, most))
        .await
        .unwrap_or_else(|_| Err(late().into()))
}

async fn collect(session: &mut ServerSession, most: u64) -> Result<Bytes, Unanswered> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = session.read_request_body().await.map_err(broken)? {
        if (whole.len() + chunk.len()) as u64 > most {
            return Err(too_large(most).into());
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

pub fn late() -> Refusal {
    Refusal::new(
        Code::InvalidRequest,
        "the rest of the request body did not arrive in time",
    )
}

pub fn broken(error: pingora::BError) -> Unanswered {
    match caller_fault(error) {
        Fault::Refused(refusal) => refusal.into(),
        _ => Unanswered::CallerLeft,
    }
}
