//! A call on the wire: sent whole to one candidate, its answer's head waited for, while the caller is watched.
//!
//! A pooled connection that turns out to be dead is replaced once, if the provider cannot have begun with what was sent
//! on it; a caller of `/v1` would otherwise be sent to the next candidate for it. Both exchanges are on record.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use pingora::BError;
use pingora::protocols::http::ServerSession;
use policies::unified::TranslatedHead;
use tokio::time::{Instant, sleep_until};

use super::Unified;
use super::attempts::Patience;
use super::judging::Trouble;
use super::spool::Spooled;
use crate::resolve::Purpose;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::prepare::{Body, prepare};
use crate::stages::record::Attempt;
use crate::stages::relay::{LAST_WORDS, left};
use crate::stages::upstream::{Event, Upstream, fault_of};

/// The body of a call, which can be sent again.
pub enum Outgoing<'b> {
    Whole(Bytes),
    Spooled(Spooled<'b>),
}

impl Outgoing<'_> {
    fn length(&self) -> u64 {
        match self {
            Outgoing::Whole(body) => body.len() as u64,
            Outgoing::Spooled(spooled) => spooled.length(),
        }
    }

    /// Longer answers are waited for where there is more to read.
    fn allowance(&self) -> Duration {
        match self {
            Outgoing::Whole(_) => Duration::ZERO,
            Outgoing::Spooled(spooled) => allowance(spooled.audio_bytes()),
        }
    }
}

/// A second for every 64 KiB of audio.
pub fn allowance(audio_bytes: u64) -> Duration {
    Duration::from_millis(audio_bytes * 1000 / (64 * 1024))
}

/// Whether more of a body can be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    /// The provider has answered, or takes no more of it.
    Part,
}

impl Unified<'_> {
    /// Sends a call and waits for the head of a successful answer.
    pub(super) async fn ask(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        head: &TranslatedHead,
        body: &Outgoing<'_>,
        patience: &mut Patience<'_>,
    ) -> Result<Upstream, Trouble> {
        let mut again = true;
        loop {
            let mut upstream = match self.open(permit, attempt, patience).await {
                Ok(upstream) => upstream,
                Err(fault) => return Err(self.noted(permit, fault)),
            };
            let heard = self
                .send_and_hear(permit, attempt, head, body, patience, &mut upstream)
                .await;
            match heard {
                Ok(()) => return self.begin_answer(permit, attempt, upstream).await,
                Err(fault) if again && upstream.was_unheeded() => {
                    again = false;
                    upstream.abort().await;
                    let next = attempt.again(&head.headers);
                    std::mem::replace(attempt, next).end(Err(&fault));
                }
                Err(fault) => {
                    upstream.abort().await;
                    return Err(self.noted(permit, fault));
                }
            }
        }
    }

    fn noted(&self, permit: &Permit, fault: Fault) -> Trouble {
        self.request.note_fault(permit, &fault);
        fault.into()
    }

    /// The head has come: whether it is that of a success.
    pub(super) async fn begin_answer(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        upstream: Upstream,
    ) -> Result<Upstream, Trouble> {
        let Some(head) = upstream.head() else {
            return Err(Fault::Garbled("an answer without head".into()).into());
        };
        attempt.answered(head.status.as_u16(), &head.headers);
        self.request.note_answer(permit, head.status.as_u16());
        if head.status.is_success() && upstream.is_sent() {
            return Ok(upstream);
        }
        if head.status.is_success() {
            upstream.abort().await;
            return Err(Fault::Garbled("a success before the whole request had been sent".into()).into());
        }
        Err(Box::pin(self.judge(permit, attempt, upstream)).await)
    }

    /// A connection, unless the caller leaves or time runs out meanwhile.
    pub(super) async fn open(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        patience: &Patience<'_>,
    ) -> Result<Upstream, Fault> {
        let began = Instant::now();
        let grant = &permit.grant;
        let opening = Upstream::open(
            self.request.connector,
            &self.request.gateway.addresses,
            grant.origin(),
            grant.provider().timeouts,
            Purpose::Calls,
        );
        let upstream = tokio::select! {
            biased;
            opened = patience.bound(opening) => opened?,
            error = gone(self.session) => return Err(left(Some(error))),
        };
        attempt.connected(began.elapsed());
        Ok(upstream)
    }

    async fn send_and_hear(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        head: &TranslatedHead,
        body: &Outgoing<'_>,
        patience: &mut Patience<'_>,
        upstream: &mut Upstream,
    ) -> Result<(), Fault> {
        let mut headers = head.headers.clone();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.length()));
        send_head(permit, attempt, head, &headers, Body::Known, upstream).await?;
        let sent = match body {
            Outgoing::Whole(whole) => self.send(whole.clone(), attempt, upstream).await?,
            Outgoing::Spooled(spooled) => Box::pin(self.send_spooled(spooled, attempt, upstream)).await?,
        };
        if sent == Sent::Part {
            return self.last_words(upstream).await;
        }
        if upstream.finish().await.is_err() {
            return self.last_words(upstream).await;
        }
        patience.begin(body.allowance());
        let limit = permit.grant.provider().timeouts.first_byte;
        self.hear_patiently(upstream, limit, "waiting for the answer", patience)
            .await
            .map(drop)
    }

    /// A provider that takes no more may have said why.
    pub(super) async fn last_words(&mut self, upstream: &mut Upstream) -> Result<(), Fault> {
        if upstream.has_answered() {
            return Ok(());
        }
        match self.hear(upstream, Instant::now() + LAST_WORDS, "").await {
            Ok(_) => Ok(()),
            Err(Fault::TimedOut(_)) => {
                Err(Fault::Lost("the provider stopped taking the request body".into()))
            }
            Err(fault) => Err(fault),
        }
    }

    async fn send(
        &mut self,
        chunk: Bytes,
        attempt: &mut Attempt<'_>,
        upstream: &mut Upstream,
    ) -> Result<Sent, Fault> {
        attempt.request_chunk(&chunk);
        tokio::select! {
            biased;
            sent = upstream.send(chunk) => Ok(match sent {
                Ok(()) => Sent::All,
                Err(error) => {
                    tracing::debug!(%error, "the provider takes no more of the body");
                    Sent::Part
                }
            }),
            error = gone(self.session) => Err(left(Some(error))),
        }
    }

    async fn send_spooled(
        &mut self,
        spooled: &Spooled<'_>,
        attempt: &mut Attempt<'_>,
        upstream: &mut Upstream,
    ) -> Result<Sent, Fault> {
        let mut reading = spooled.read();
        loop {
            let next = reading.next().await;
            let Some(chunk) = next.map_err(|error| Fault::Internal(format!("reading the spool: {error}")))?
            else {
                return Ok(Sent::All);
            };
            if chunk.is_empty() {
                continue;
            }
            if has_head(upstream).await? || self.send(chunk, attempt, upstream).await? == Sent::Part {
                return Ok(Sent::Part);
            }
        }
    }

    /// What the provider says next, until `limit` from now or as long as `patience` lasts.
    pub(super) async fn hear_patiently(
        &mut self,
        upstream: &mut Upstream,
        limit: Duration,
        waiting: &'static str,
        patience: &mut Patience<'_>,
    ) -> Result<Event, Fault> {
        let limit = Instant::now() + limit;
        loop {
            let heard = self.hear(upstream, patience.cut(limit), waiting).await;
            match heard {
                Err(Fault::TimedOut(_))
                    if patience.is_for_others() && !self.request.any_has_key(patience.others()).await =>
                {
                    patience.wait_on();
                }
                // The provider still had time of its own.
                Err(Fault::TimedOut(waiting)) if Instant::now() < limit => {
                    return Err(Fault::GivenUp(waiting));
                }
                heard => return heard,
            }
        }
    }

    /// What the provider says next, while the caller stays.
    pub(super) async fn hear(
        &mut self,
        upstream: &mut Upstream,
        until: Instant,
        waiting: &'static str,
    ) -> Result<Event, Fault> {
        let answered = upstream.has_answered();
        tokio::select! {
            biased;
            event = upstream.next() => event.map_err(|error| fault_of(&error, answered)),
            error = gone(self.session) => Err(left(Some(error))),
            () = sleep_until(until) => Err(Fault::TimedOut(waiting)),
        }
    }
}

/// Returns when the caller has left. What is left of its body after an early answer is of no use to anyone; after it
/// only silence, or the next request, may come.
pub(super) async fn gone(session: &mut ServerSession) -> BError {
    let mut body_is_done = session.is_body_done();
    loop {
        match session.read_body_or_idle(body_is_done).await {
            Ok(Some(_)) => body_is_done = session.is_body_done(),
            // The session itself does not call a body done that ends in trailers.
            Ok(None) => body_is_done = true,
            Err(error) => return error,
        }
    }
}

/// Whether the answer has begun, without waiting for it.
pub(super) async fn has_head(upstream: &mut Upstream) -> Result<bool, Fault> {
    if upstream.has_answered() {
        return Ok(true);
    }
    tokio::select! {
        biased;
        event = upstream.next() => event.map(|_| true).map_err(|error| fault_of(&error, false)),
        () = ready(()) => Ok(false),
    }
}

pub(super) async fn send_head(
    permit: &Permit,
    attempt: &mut Attempt<'_>,
    head: &TranslatedHead,
    headers: &HeaderMap,
    body: Body,
    upstream: &mut Upstream,
) -> Result<(), Fault> {
    let prepared = prepare(&permit.grant, &head.method, headers, body)?;
    upstream
        .send_head(prepared, false)
        .await
        .map_err(|error| fault_of(&error, false))?;
    attempt.sent();
    Ok(())
}
