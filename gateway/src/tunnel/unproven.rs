//! Callers who can show their token only in the first message, as pages in browsers do: they get their WebSocket
//! first, and the provider is asked for its side once they have shown it.
//!
//! Until then they may take little time and little room. A refusal is a close frame that says why.

use std::time::Duration;

use bytes::BytesMut;
use http::HeaderMap;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use policies::rules::{self, Inbound};
use policies::socket::frames::CloseFrame;
use policies::socket::{First, FirstMessage};
use policies::vocabulary::{Code, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::handshake::Wish;
use super::relay::{CLOSE_LIMIT, Ends, Tunnel};
use super::{breach, close_frame_of, taken};
use crate::proxy::{After, Gateway};
use crate::resolve::Purpose;
use crate::respond::Marks;
use crate::stages::admit::Permit;
use crate::stages::answer::Held;
use crate::stages::prepare::{Body, prepare};
use crate::stages::record::{Attempt, Call, refused};
use crate::stages::relay::HANDSHAKE;
use crate::stages::upstream::{Event, Upstream, fault_of};
use crate::stages::{Fault, Seen, Stop};
use crate::telemetry::Kind;

/// A message that holds a token and the settings of a voice is much shorter.
const LONGEST: usize = 16 * 1024;
const ROOM: usize = 2 * 1024;

/// A caller who has its WebSocket, and what it has sent in it.
struct Waiting {
    stream: Stream,
    received: BytesMut,
    /// How long its first message took.
    waited: Duration,
}

/// The provider's side, or what keeps it from being had.
enum Answered {
    Switched(Box<Upstream>),
    /// It is on record; this is for the caller.
    Refused(CloseFrame),
}

impl Gateway {
    pub(super) async fn serve_unproven(
        &self,
        connector: &Connector,
        session: &mut ServerSession,
        call: &Call,
        inbound: Inbound,
        wish: &Wish,
        marks: &Marks,
    ) -> After {
        let head = session.req_header().clone();
        let mut headers = HeaderMap::new();
        marks.put(&mut headers);
        if session.write_response_header(wish.agreed(headers)).await.is_err() {
            return After::Cut;
        }
        let Ok((stream, early)) = taken(session).await else {
            return After::Cut;
        };
        let mut waiting = Waiting {
            stream,
            received: BytesMut::from(early.as_ref()),
            waited: Duration::ZERO,
        };
        let seen = Seen::inbound(&inbound);
        let place = self.in_flight.enter();
        let _open = self.sockets.enter();
        let shown = self.first_message(&mut waiting).await;
        waiting.waited = call.began.elapsed();
        let decided = match shown {
            Err(None) => return After::Cut,
            Err(Some(refusal)) => Err(seen.stop(refusal)),
            Ok(message) => self.decide_on(message, inbound, &head).await,
        };
        drop(place);
        match decided {
            Ok(permit) => {
                self.relay_unproven(connector, waiting, call, permit, &head, wish)
                    .await
            }
            Err(stop) => {
                let Stop { refusal, seen } = &stop;
                refused(&self.vault, &self.meters, &self.strangers, call, seen, refusal);
                close_caller(waiting.stream, close_frame_of(refusal)).await;
            }
        }
        After::Cut
    }

    async fn decide_on(
        &self,
        message: FirstMessage,
        mut inbound: Inbound,
        head: &RequestHeader,
    ) -> Result<Permit, Stop> {
        inbound.presented = message.tokens(inbound.token_fields());
        self.decide(inbound, head).await
    }

    /// `Err(None)`: the caller has left.
    async fn first_message(&self, waiting: &mut Waiting) -> Result<FirstMessage, Option<Refusal>> {
        let limit = self.limits.socket_token_time;
        let end = Instant::now() + limit;
        let mut first = First::default();
        let mut draining = self.draining.subscribe();
        loop {
            let whole = first.look(&waiting.received, LONGEST);
            match whole.map_err(|closing| breach(&closing).0)? {
                Some(message) => return Ok(message),
                None if first.closed_at().is_some() => return Err(None),
                None => {}
            }
            waiting.received.reserve(ROOM);
            let read = tokio::select! {
                biased;
                read = timeout_at(end, waiting.stream.read_buf(&mut waiting.received)) => read,
                _ = draining.wait_for(|now| *now) => return Err(Some(going_away())),
            };
            match read {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(None),
                Err(_) => return Err(Some(late(limit))),
            }
        }
    }

    async fn relay_unproven(
        &self,
        connector: &Connector,
        waiting: Waiting,
        call: &Call,
        permit: Permit,
        head: &RequestHeader,
        wish: &Wish,
    ) {
        let grant = &permit.grant;
        let _active = self.meters.active(&grant.provider().id, Kind::WebSocket);
        let mut attempt = Attempt::begin(&self.vault, &self.meters, call, grant, &head.headers);
        attempt.connected(waiting.waited);
        let answered = self.ask(connector, &permit, head, wish, &mut attempt).await;
        let result = match answered {
            Ok(Answered::Switched(upstream)) => {
                let provider = match upstream.switch().await {
                    Ok(provider) => provider,
                    Err(fault) => return attempt.end(Err(&fault)),
                };
                let ends = Ends {
                    caller: waiting.stream,
                    caller_early: waiting.received.to_vec(),
                    provider: provider.0,
                    provider_early: provider.1.to_vec(),
                };
                let tunnel = Box::new(Tunnel::new(self, &permit, &mut attempt, ends));
                Box::pin(tunnel.run(self.draining.subscribe())).await
            }
            Ok(Answered::Refused(closing)) => {
                close_caller(waiting.stream, closing).await;
                Ok(())
            }
            Err(fault) => {
                if let Some(refusal) = fault.refusal(grant.provider()) {
                    close_caller(waiting.stream, close_frame_of(&refusal)).await;
                }
                Err(fault)
            }
        };
        attempt.end(result.as_ref().copied());
    }

    /// Asks the provider for its side.
    async fn ask(
        &self,
        connector: &Connector,
        permit: &Permit,
        head: &RequestHeader,
        wish: &Wish,
        attempt: &mut Attempt<'_>,
    ) -> Result<Answered, Fault> {
        let (grant, began) = (&permit.grant, Instant::now());
        let timeouts = grant.provider().timeouts;
        let opening = Upstream::open(
            connector,
            &self.addresses,
            grant.origin(),
            timeouts,
            Purpose::Socket,
        );
        let mut upstream = opening.await?;
        attempt.connected(began.elapsed());
        let prepared = prepare(grant, &head.method, &head.headers, Body::None)?;
        upstream
            .send_head(prepared, true)
            .await
            .map_err(|error| fault_of(&error, false))?;
        attempt.sent();
        let answer = timeout(timeouts.first_byte.min(HANDSHAKE), upstream.next()).await;
        match answer {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(fault_of(&error, false)),
            Err(_) => return Err(Fault::TimedOut("waiting for the answer")),
        }
        let Some(answer) = upstream.head() else {
            return Err(Fault::Garbled("an answer without head".into()));
        };
        attempt.answered(answer.status.as_u16(), &answer.headers);
        if !upstream.has_switched() {
            return Ok(Answered::Refused(self.weigh(upstream, permit, attempt).await));
        }
        match wish.is_met_by(answer) {
            true => Ok(Answered::Switched(Box::new(upstream))),
            false => Err(Fault::Garbled("an agreement to another WebSocket".into())),
        }
    }

    /// What the provider's refusal means, for the key and for the caller.
    async fn weigh(&self, mut upstream: Upstream, permit: &Permit, attempt: &mut Attempt<'_>) -> CloseFrame {
        let grant = &permit.grant;
        let Some(head) = upstream.head() else {
            return CloseFrame::new(1014, "provider_error");
        };
        let status = head.status.as_u16();
        let mut held = Held::new(Box::new(head.clone()));
        let until = held.until();
        // However it ends, what there is of the answer is judged.
        while let Ok(Ok(Event::Chunk(chunk))) = timeout_at(until, upstream.next()).await {
            attempt.answer_chunk(&chunk);
            if held.take(chunk) {
                break;
            }
        }
        upstream.abort().await;
        let (meaning, body) = held.weigh(&self.vault, grant, attempt.actor());
        attempt.code = meaning.code;
        let refusal = match meaning.code {
            Some(code) => Refusal::new(code, meaning.explained),
            None => {
                let name = &grant.provider().name;
                let said = rules::said_by(grant.provider(), &body);
                let said = said.unwrap_or_else(|| format!("status {status}"));
                Refusal::new(
                    Code::InvalidRequest,
                    format!("{name} refused the WebSocket: {said}"),
                )
            }
        };
        close_frame_of(&refusal)
    }
}

fn going_away() -> Refusal {
    Refusal::new(Code::Overloaded, "the gateway is going away; connect again").retry_after(1)
}

fn late(limit: Duration) -> Refusal {
    let seconds = limit.as_secs();
    Refusal::new(
        Code::Unauthenticated,
        format!("no message with an access token came within {seconds} seconds"),
    )
}

/// Says why, and gives the caller the time to hear it.
async fn close_caller(mut stream: Stream, closing: CloseFrame) {
    let said = async {
        stream.write_all(&closing.frame(None)).await?;
        stream.flush().await?;
        let mut rest = [0; 512];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether it was heard or not, the connection ends now.
    timeout(CLOSE_LIMIT, said).await.ok();
    stream.shutdown().await.ok();
}
