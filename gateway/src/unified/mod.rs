//! `/v1`: one request, served by whichever provider the caller has selected.
//!
//! The caller's body is read first, by [`speech`] or [`transcription`]; then its candidates are tried one after the
//! other, each by an [`exchange`] of its own, until one has answered: a plain loop, since nothing of an answer
//! goes down before it is known to be one. What a candidate's failure means is decided in [`attempts`], whether it is
//! worth a call at all by the [`breaker`].

pub mod attempts;
pub mod body;
pub mod breaker;
mod calling;
mod exchange;
mod form;
mod judging;
mod keeping;
mod models;
pub mod selection;
mod sound;
mod speaking;
mod speech;
mod spool;
mod streaming;
mod style;
mod transcript;
mod transcription;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use pingora::connectors::http::Connector;
use pingora::protocols::http::ServerSession;
use policies::rules::{Asked, UnifiedInbound, allow};
use policies::vocabulary::{Actor, Caller, Code, Operation, Refusal, Task};

pub use sound::Encoders;
pub use spool::Spools;

use crate::proxy::{After, Gateway};
use crate::respond::{self, Marks, Reply};
use crate::stages::admit::Slot;
use crate::stages::authenticate::authenticate;
use crate::stages::record::{Call, refused};
use crate::stages::relay::left;
use crate::stages::{Fault, Seen, Stop};
use attempts::Unanswered;

/// One request under `/v1`, its caller known.
pub struct Request<'a> {
    gateway: &'a Gateway,
    connector: &'a Connector,
    call: &'a Call,
    marks: Marks,
    caller: Arc<Caller>,
    operation: Operation,
    /// Its place among the requests in flight, however many calls it makes.
    place: Slot,
    /// How long its body was waited for.
    waited: Duration,
}

/// A request and the connection on which its caller waits.
pub struct Unified<'a> {
    request: Request<'a>,
    session: &'a mut ServerSession,
}

impl Gateway {
    /// Serves one request under `/v1`, to its record.
    pub async fn serve_unified(
        &self,
        connector: &Connector,
        session: &mut ServerSession,
        call: &Call,
        inbound: UnifiedInbound,
        marks: Marks,
    ) -> After {
        let operation = operation_of(&inbound.asked);
        let caller = match self.known(&inbound, operation).await {
            Ok(caller) => caller,
            Err(stop) => return self.stop(session, call, &stop, marks).await,
        };
        let request = Request {
            gateway: self,
            connector,
            call,
            marks,
            caller,
            operation,
            place: self.in_flight.enter(),
            waited: Duration::ZERO,
        };
        let mut unified = Unified { request, session };
        // Boxed: what each of them keeps is large, and only one of them is needed.
        let answered = match inbound.asked {
            Asked::Task(Task::Speech) => Box::pin(unified.speak()).await,
            Asked::Task(task) => Box::pin(unified.transcribe(task)).await,
            Asked::Models => unified.list_models(None).await,
            Asked::Model(id) => unified.list_models(Some(&id)).await,
        };
        match answered {
            Ok(after) => unified.settle(after).await,
            Err(unanswered) => unified.decline(unanswered).await,
        }
    }

    async fn known(&self, inbound: &UnifiedInbound, operation: Operation) -> Result<Arc<Caller>, Stop> {
        let caller = authenticate(&self.callers, &inbound.presented)
            .await
            .map_err(|refusal| Seen::unified().doing(operation).stop(refusal))?;
        allow(&caller, operation)
            .map_err(|refusal| Seen::unified().by(&caller).doing(operation).stop(refusal))?;
        Ok(caller)
    }
}

fn operation_of(asked: &Asked) -> Operation {
    match asked {
        Asked::Task(task) => task.operation(),
        Asked::Models | Asked::Model(_) => Operation::Lookup,
    }
}

impl Request<'_> {
    fn actor(&self) -> Actor {
        Actor {
            user: Some(self.caller.user.clone()),
            ip: self.call.ip,
            request_id: self.call.id,
        }
    }

    fn seen(&self, refusal: &Refusal) -> Seen {
        let provider = refusal.provider.as_ref();
        Seen {
            provider: provider.and_then(|id| self.gateway.providers.get(id.as_str()).cloned()),
            ..Seen::unified().by(&self.caller).doing(self.operation)
        }
    }
}

impl Unified<'_> {
    async fn settle(&mut self, after: After) -> After {
        if after == After::Finish {
            self.request.gateway.linger(self.session).await;
        }
        after
    }

    /// Tells the caller why there is no answer. What no provider was called for goes on record as a refusal; the
    /// calls that were made are on record already.
    async fn decline(mut self, unanswered: Unanswered) -> After {
        let refusal = match unanswered {
            Unanswered::CallerLeft if self.request.marks.attempts > 0 => return After::Cut,
            Unanswered::CallerLeft => Refusal::new(
                Code::InvalidRequest,
                "the caller left before its request was complete",
            ),
            Unanswered::Refused(refusal) => refusal,
            Unanswered::Failed(failure) => failure.refusal,
        };
        let seen = self.request.seen(&refusal);
        if self.request.marks.attempts == 0 {
            let gateway = self.request.gateway;
            refused(
                &gateway.vault,
                &gateway.meters,
                &gateway.strangers,
                self.request.call,
                &seen,
                &refusal,
            );
        }
        self.request.marks.refused_for(refusal.provider.as_ref());
        let gateway = self.request.gateway;
        gateway
            .refuse(self.session, &seen, &refusal, &self.request.marks)
            .await
    }

    /// The head of an answer whose body follows.
    async fn write_head(&mut self, content_type: &'static str, mut more: HeaderMap) -> Result<(), Fault> {
        more.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let measured = more.contains_key(http::header::CONTENT_LENGTH);
        if !measured && self.session.req_header().version == Version::HTTP_11 {
            more.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        self.request.marks.put(&mut more);
        self.session
            .write_response_header(respond::head(StatusCode::OK, more))
            .await
            .map_err(|error| left(Some(error)))
    }

    async fn write(&mut self, chunk: Bytes, last: bool) -> Result<(), Fault> {
        self.session
            .write_response_body(chunk, last)
            .await
            .map_err(|error| left(Some(error)))
    }

    /// A whole answer.
    async fn reply(&mut self, content_type: &'static str, body: impl Into<Bytes>) -> Result<After, Fault> {
        let mut reply = Reply::new(200, content_type, body);
        self.request.marks.put(&mut reply.headers);
        let bodiless = respond::is_bodiless(&self.session.req_header().method);
        reply
            .send(self.session, bodiless)
            .await
            .map_err(|error| left(Some(error)))?;
        Ok(After::Finish)
    }
}
