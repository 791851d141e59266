//! WebSockets: the same stages before the upgrade, and a tunnel behind it through which messages are heard as they
//! pass.
//!
//! `handshake` is the HTTP before it; `unproven` holds callers who can show their token only in their first message;
//! `relay` runs both directions, each a `pipe`, to their end, and `around` looks after them; `messages` is what is heard in them, `model` decides
//! on sessions, and `standing` looks whether a connection may go on.

pub mod messages;

mod around;
mod handshake;
mod model;
mod pipe;
mod relay;
mod standing;
mod unproven;

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use http::header::SEC_WEBSOCKET_EXTENSIONS;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use policies::rules::Inbound;
use policies::socket::frames::CloseFrame;
use policies::vocabulary::{Code, Refusal};

use crate::proxy::{After, Gateway};
use crate::respond::Marks;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::answer::passed_head;
use crate::stages::authorise::Grant;
use crate::stages::record::{Attempt, Call};
use crate::stages::relay::{Exchange, left};
use crate::stages::upstream::Upstream;
use crate::telemetry::Kind;
use handshake::Wish;
use relay::{CLOSE_LIMIT, Ends, Tunnel};

/// How long the ends of all WebSockets take together, once they are told to end.
pub const CLOSING: Duration = CLOSE_LIMIT.saturating_mul(2);

impl Gateway {
    /// What is boxed in here and below is over long before the tunnel is, and its room would be kept for as long.
    pub async fn serve_socket(
        &self,
        connector: &Connector,
        session: &mut ServerSession,
        call: &Call,
        inbound: Inbound,
        mut marks: Marks,
    ) -> After {
        let wish = Wish::read(session.req_header());
        if let (Ok(wish), true) = (&wish, inbound.may_show_token_later()) {
            marks.resolved(&inbound.provider.id, None);
            let served = self.serve_unproven(connector, session, call, inbound, wish, &marks);
            return Box::pin(served).await;
        }
        let decided = Box::pin(self.decide(inbound, session.req_header())).await;
        let decided = decided.and_then(|permit| match wish {
            Ok(wish) => Ok((permit, wish)),
            Err(refusal) => Err(permit.grant.seen().stop(refusal)),
        });
        match decided {
            Ok((permit, wish)) => {
                let source = permit.grant.credential().owner.source();
                marks.resolved(&permit.grant.provider().id, Some(source));
                self.relay_socket(connector, session, call, permit, &wish, &marks)
                    .await
            }
            Err(stop) => Box::pin(self.stop(session, call, &stop, marks)).await,
        }
    }

    async fn relay_socket(
        &self,
        connector: &Connector,
        session: &mut ServerSession,
        call: &Call,
        permit: Permit,
        wish: &Wish,
        marks: &Marks,
    ) -> After {
        let _active = self.meters.active(&permit.grant.provider().id, Kind::WebSocket);
        let _open = self.sockets.enter();
        let headers = &session.req_header().headers;
        let mut attempt = Attempt::begin(&self.vault, &self.meters, call, &permit.grant, headers);
        let mut exchange = Exchange::new(self, connector, &permit, session, marks, &mut attempt);
        let switched = Box::pin(exchange.switch()).await;
        let answered = exchange.has_answered();
        let switched = switched.and_then(|upstream| match upstream {
            Some(upstream) => agreement(&upstream, &permit.grant, wish, marks, session.req_header())
                .map(|agreed| Some((upstream, agreed))),
            None => Ok(None),
        });
        match switched {
            Ok(Some((upstream, agreed))) => {
                let result = match Box::pin(both(session, upstream, agreed)).await {
                    Ok(ends) => {
                        let tunnel = Box::new(Tunnel::new(self, &permit, &mut attempt, ends));
                        Box::pin(tunnel.run(self.draining.subscribe())).await
                    }
                    Err(fault) => Err(fault),
                };
                attempt.end(result.as_ref().copied());
                After::Cut
            }
            Ok(None) => {
                attempt.end(Ok(()));
                self.linger(session).await;
                After::Finish
            }
            Err(fault) => {
                attempt.end(Err(&fault));
                Box::pin(self.fail(session, &permit, &fault, answered, marks)).await
            }
        }
    }
}

/// The provider's agreement as the caller gets it.
fn agreement(
    upstream: &Upstream,
    grant: &Grant,
    wish: &Wish,
    marks: &Marks,
    request: &RequestHeader,
) -> Result<Box<ResponseHeader>, Fault> {
    let plan = &grant.route().endpoint().socket;
    let agrees = |answer: &&ResponseHeader| {
        let extends = answer.headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
        wish.is_met_by(answer) && !(extends && plan.forbids_compression())
    };
    let Some(answer) = upstream.head().filter(agrees) else {
        return Err(Fault::Garbled("an agreement to another WebSocket".into()));
    };
    let passed = passed_head(answer, grant, marks, request)?;
    Ok(wish.agreed(passed.headers.clone()))
}

/// Passes the agreement on, and takes both connections out of HTTP. Nothing else can be said to the caller after it.
async fn both(
    session: &mut ServerSession,
    upstream: Upstream,
    agreed: Box<ResponseHeader>,
) -> Result<Ends, Fault> {
    session
        .write_response_header(agreed)
        .await
        .map_err(|error| left(Some(error)))?;
    let (caller, caller_early) = taken(session).await?;
    let (provider, provider_early) = upstream.switch().await?;
    Ok(Ends {
        caller,
        provider,
        caller_early: caller_early.to_vec(),
        provider_early: provider_early.to_vec(),
    })
}

/// The bare connection of a caller whose WebSocket has been agreed on, and what it has sent already.
async fn taken(session: &mut ServerSession) -> Result<(Stream, Bytes), Fault> {
    let early = tokio::select! {
        biased;
        early = session.read_request_body() => early.map_err(|error| left(Some(error)))?,
        () = ready(()) => None,
    };
    // The session is behind a reference, so something has to stay in its place.
    let (nothing, _) = tokio::io::duplex(1);
    match std::mem::replace(session, ServerSession::new_http1(Box::new(nothing))) {
        ServerSession::H1(connection) => Ok((connection.into_inner(), early.unwrap_or_default())),
        _ => Err(Fault::Internal(
            "a WebSocket over something else than HTTP/1.1".into(),
        )),
    }
}

/// A refusal as the frame that closes says it.
fn close_frame_of(refusal: &Refusal) -> CloseFrame {
    let code = match refusal.code {
        Code::Overloaded | Code::RateLimited | Code::ProviderRateLimited => 1013,
        Code::ProviderUnreachable | Code::ProviderTimeout | Code::ProviderError => 1014,
        Code::Internal => 1011,
        Code::PayloadTooLarge => 1009,
        _ => 1008,
    };
    CloseFrame::new(code, &format!("{}: {}", refusal.code, refusal.message))
}

/// A message that may not pass as the refusal that it is, and as the frame that closes says it.
fn breach(closing: &CloseFrame) -> (Refusal, CloseFrame) {
    let code = match closing.code {
        Some(1009) => Code::PayloadTooLarge,
        _ => Code::InvalidRequest,
    };
    let refusal = Refusal::new(code, closing.reason.clone());
    let said = close_frame_of(&refusal);
    let code = closing.code;
    (refusal, CloseFrame { code, ..said })
}
