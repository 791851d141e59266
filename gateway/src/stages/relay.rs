//! `Permit` → the exchange: the request body up, the answer down, both as they come.
//!
//! One loop serves HTTP/1.1 and HTTP/2 on both sides. It reads from a side only after what it read before has
//! been written to the other, so a call holds a chunk or two whatever its size, and a slow side slows
//! the other. One clock watches: while the body goes up and once the answer comes down it counts silence
//! in both directions together, in between it counts the wait for the answer's head.
//!
//! An exchange on a pooled connection that turns out to be dead is begun again once, if the provider cannot
//! have acted on it: nothing of the body was sent, or there is none and the method is idempotent.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, header};
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{BError, ErrorType};
use policies::descriptor::Timeouts;
use policies::vocabulary::{Code, Refusal};
use tokio::time::{Instant, sleep_until};

use super::Fault;
use super::admit::{Permit, too_large};
use super::answer::{Answer, Held, passed_head, passed_trailers};
use super::prepare::{Body, prepare};
use super::record::Attempt;
use super::upstream::{Event, Upstream, fault_of, kind_of};
use crate::proxy::Gateway;
use crate::resolve::Purpose;
use crate::respond::Marks;

/// A provider that stops taking the body may have answered before it did; its answer is waited for this long.
pub const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a provider may take to agree to a WebSocket, or to refuse it.
pub const HANDSHAKE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upload {
    Open,
    Done,
    /// The provider takes no more of it.
    Abandoned,
}

pub struct Exchange<'a, 'c> {
    gateway: &'a Gateway,
    connector: &'a Connector,
    permit: &'a Permit,
    session: &'a mut ServerSession,
    marks: &'a Marks,
    attempt: &'a mut Attempt<'c>,
    upload: Upload,
    answer: Answer,
    deadline: Instant,
}

enum Step {
    Provider(Result<Event, BError>),
    Caller(Result<Option<Bytes>, BError>),
    Alarm,
}

impl<'a, 'c> Exchange<'a, 'c> {
    pub fn new(
        gateway: &'a Gateway,
        connector: &'a Connector,
        permit: &'a Permit,
        session: &'a mut ServerSession,
        marks: &'a Marks,
        attempt: &'a mut Attempt<'c>,
    ) -> Self {
        let upload = if session.is_body_done() {
            Upload::Done
        } else {
            Upload::Open
        };
        let deadline = Instant::now();
        Self {
            gateway,
            connector,
            permit,
            session,
            marks,
            attempt,
            upload,
            answer: Answer::Awaited,
            deadline,
        }
    }

    /// Whether the caller has seen the answer's head, after which nothing else can be said.
    pub fn has_answered(&self) -> bool {
        matches!(self.answer, Answer::Passing)
    }

    pub async fn run(&mut self) -> Result<(), Fault> {
        let mut again = true;
        loop {
            let mut upstream = self.open().await?;
            match self.attend(&mut upstream).await {
                Ok(()) => {
                    if self.upload == Upload::Done {
                        Box::pin(upstream.release(self.connector)).await;
                    }
                    return Ok(());
                }
                Err(Fault::Lost(_)) if again && upstream.reused && self.may_begin_again() => again = false,
                Err(fault) => {
                    upstream.abort().await;
                    return Err(fault);
                }
            }
        }
    }

    /// For a WebSocket: the provider's side of it once it has agreed, its answer not yet passed on. `None`: its
    /// answer was another, which has been.
    pub async fn switch(&mut self) -> Result<Option<Upstream>, Fault> {
        let mut upstream = self.open().await?;
        match self.attend(&mut upstream).await {
            Ok(()) if upstream.has_switched() => Ok(Some(upstream)),
            Ok(()) => Ok(None),
            Err(fault) => {
                upstream.abort().await;
                Err(fault)
            }
        }
    }

    fn may_begin_again(&self) -> bool {
        let untouched = self.attempt.bytes_in == 0 && matches!(self.answer, Answer::Awaited);
        untouched
            && match self.upload {
                Upload::Open => true,
                Upload::Done => self.session.req_header().method.is_idempotent(),
                Upload::Abandoned => false,
            }
    }

    /// A connection; a caller without a body who leaves meanwhile is noticed.
    async fn open(&mut self) -> Result<Upstream, Fault> {
        let began = Instant::now();
        let grant = &self.permit.grant;
        let opening = Upstream::open(
            self.connector,
            &self.gateway.addresses,
            grant.origin(),
            grant.provider().timeouts,
            if grant.inbound().websocket {
                Purpose::Socket
            } else {
                Purpose::Calls
            },
        );
        let upstream = if self.upload == Upload::Done {
            tokio::select! {
                biased;
                opened = opening => opened?,
                gone = self.session.read_body_or_idle(true) => return Err(left(gone.err())),
            }
        } else {
            opening.await?
        };
        self.attempt.connected(began.elapsed());
        Ok(upstream)
    }

    async fn attend(&mut self, upstream: &mut Upstream) -> Result<(), Fault> {
        self.send_head(upstream).await?;
        self.send_what_is_here(upstream).await?;
        let mut scheduled = self.deadline;
        let alarm = sleep_until(scheduled);
        tokio::pin!(alarm);
        loop {
            let step = tokio::select! {
                biased;
                event = upstream.next() => Step::Provider(event),
                chunk = self.session.read_body_or_idle(self.upload == Upload::Done),
                    if self.upload != Upload::Abandoned => Step::Caller(chunk),
                () = alarm.as_mut() => Step::Alarm,
            };
            let complete = match step {
                Step::Provider(Ok(event)) => self.hear_provider(event, upstream).await?,
                Step::Provider(Err(error)) => return Err(fault_of(&error, self.has_answered())),
                Step::Caller(Ok(chunk)) => self.hear_caller(chunk, upstream).await.map(|()| false)?,
                Step::Caller(Err(error)) => return Err(caller_fault(error)),
                Step::Alarm if Instant::now() < self.deadline => {
                    scheduled = self.deadline;
                    alarm.as_mut().reset(scheduled);
                    false
                }
                Step::Alarm => self.silence().await.map(|()| false)?,
            };
            if complete {
                return Ok(());
            }
            // The alarm may ring too early, which is looked at then; it must not ring too late.
            if self.deadline < scheduled {
                scheduled = self.deadline;
                alarm.as_mut().reset(scheduled);
            }
        }
    }

    async fn send_head(&mut self, upstream: &mut Upstream) -> Result<(), Fault> {
        let request = self.session.req_header();
        let body = Body::of(request, self.upload == Upload::Done);
        let continues = body != Body::None && expects_continue(request);
        let head = prepare(&self.permit.grant, &request.method, &request.headers, body)?;
        upstream
            .send_head(head, body == Body::None)
            .await
            .map_err(|error| fault_of(&error, false))?;
        self.attempt.sent();
        if continues {
            self.session
                .write_continue_response()
                .await
                .map_err(|error| left(Some(error)))?;
        }
        let limits = self.timeouts();
        self.wait(match body {
            Body::None if self.permit.grant.inbound().websocket => limits.first_byte.min(HANDSHAKE),
            Body::None => limits.first_byte,
            Body::Known | Body::Open => limits.idle,
        });
        Ok(())
    }

    /// What came with the caller's head goes with ours, before the wait that sends both.
    async fn send_what_is_here(&mut self, upstream: &mut Upstream) -> Result<(), Fault> {
        if self.upload != Upload::Open {
            return Ok(());
        }
        let here = tokio::select! {
            biased;
            chunk = self.session.read_body_or_idle(false) => chunk,
            () = ready(()) => return Ok(()),
        };
        self.hear_caller(here.map_err(caller_fault)?, upstream).await
    }

    async fn hear_caller(&mut self, chunk: Option<Bytes>, upstream: &mut Upstream) -> Result<(), Fault> {
        let ended = chunk.is_none() || self.session.is_body_done();
        let sent = match chunk {
            Some(chunk) if self.upload == Upload::Open => {
                self.attempt.request_chunk(&chunk);
                if self.attempt.bytes_in > self.gateway.limits.max_body_bytes {
                    return Err(Fault::Refused(too_large(self.gateway.limits.max_body_bytes)));
                }
                upstream.send(chunk).await
            }
            // After the body only silence or an end may come from the caller.
            Some(_) => return Ok(()),
            None => Ok(()),
        };
        let finished = match sent {
            Ok(()) if self.upload == Upload::Open && ended => {
                self.upload = Upload::Done;
                upstream.finish().await
            }
            sent => sent,
        };
        match finished {
            Ok(()) => self.wait(match (self.upload, &self.answer) {
                (Upload::Done, Answer::Awaited) => self.timeouts().first_byte,
                _ => self.timeouts().idle,
            }),
            Err(error) => {
                tracing::debug!(%error, "the provider takes no more of the body");
                self.upload = Upload::Abandoned;
                self.wait(LAST_WORDS);
            }
        }
        Ok(())
    }

    /// True when the answer has been passed on to its end.
    async fn hear_provider(&mut self, event: Event, upstream: &mut Upstream) -> Result<bool, Fault> {
        let ended = match event {
            Event::Head if upstream.has_switched() => {
                if let Some(head) = upstream.head() {
                    self.attempt.answered(head.status.as_u16(), &head.headers);
                }
                return Ok(true);
            }
            Event::Head => {
                self.begin_answer(upstream).await?;
                upstream.is_complete()
            }
            Event::Chunk(chunk) => {
                self.attempt.answer_chunk(&chunk);
                self.pass_on(chunk).await?;
                upstream.is_complete()
            }
            Event::End => true,
        };
        if ended {
            self.end_answer(upstream).await?;
        }
        // From here, since a slow caller may have kept the last write waiting.
        self.wait(self.timeouts().idle);
        if let Answer::Held(held) = &self.answer {
            self.deadline = self.deadline.min(held.until());
        }
        Ok(ended)
    }

    async fn begin_answer(&mut self, upstream: &Upstream) -> Result<(), Fault> {
        let Some(head) = upstream.head() else {
            return Err(Fault::Garbled("an answer without head".into()));
        };
        self.attempt.answered(head.status.as_u16(), &head.headers);
        let passed = passed_head(head, &self.permit.grant, self.marks, self.session.req_header())?;
        if passed.status.as_u16() < 400 {
            return self.pass_head(passed).await;
        }
        self.answer = Answer::Held(Held::new(passed));
        Ok(())
    }

    async fn pass_on(&mut self, chunk: Bytes) -> Result<(), Fault> {
        let enough = match &mut self.answer {
            Answer::Held(held) => held.take(chunk),
            _ => return self.write(chunk).await,
        };
        if enough { self.judge().await } else { Ok(()) }
    }

    /// Lets a held answer go, with the verdict on it.
    async fn judge(&mut self) -> Result<(), Fault> {
        let Answer::Held(held) = std::mem::replace(&mut self.answer, Answer::Awaited) else {
            return Ok(());
        };
        let limits = &self.gateway.limits;
        let judged = held.judge(
            &self.gateway.vault,
            &self.permit.grant,
            self.attempt.actor(),
            &limits.public_url,
        );
        self.attempt.code = judged.code;
        self.pass_head(judged.head).await?;
        for chunk in judged.chunks {
            self.write(chunk).await?;
        }
        Ok(())
    }

    async fn pass_head(&mut self, head: Box<ResponseHeader>) -> Result<(), Fault> {
        self.answer = Answer::Passing;
        self.session
            .write_response_header(head)
            .await
            .map_err(|error| left(Some(error)))
    }

    async fn write(&mut self, chunk: Bytes) -> Result<(), Fault> {
        self.session
            .write_response_body(chunk, false)
            .await
            .map_err(|error| left(Some(error)))
    }

    async fn end_answer(&mut self, upstream: &mut Upstream) -> Result<(), Fault> {
        self.judge().await?;
        let trailers = upstream
            .trailers()
            .await
            .map_err(|error| fault_of(&error, true))?;
        if let Some(trailers) = trailers.map(|all| passed_trailers(&all, &self.permit.grant)) {
            self.session
                .write_response_trailers(trailers)
                .await
                .map_err(|error| left(Some(error)))?;
        }
        self.session
            .write_response_body(Bytes::new(), true)
            .await
            .map_err(|error| left(Some(error)))
    }

    /// The clock has run out: on a held error answer that only means to pass on what is there.
    async fn silence(&mut self) -> Result<(), Fault> {
        if let Answer::Held(_) = self.answer {
            self.wait(self.timeouts().idle);
            return self.judge().await;
        }
        Err(match (self.upload, self.has_answered()) {
            (_, true) => Fault::Broken("neither side has sent anything for the idle limit".into()),
            (Upload::Open, _) => Fault::Refused(Refusal::new(
                Code::InvalidRequest,
                "the rest of the request body did not arrive in time",
            )),
            (Upload::Done, _) => Fault::TimedOut("waiting for the answer"),
            (Upload::Abandoned, _) => Fault::Lost("the provider stopped taking the request body".into()),
        })
    }

    fn wait(&mut self, limit: Duration) {
        self.deadline = Instant::now() + limit;
    }

    fn timeouts(&self) -> Timeouts {
        self.permit.grant.provider().timeouts
    }
}

/// Whether the caller waits for leave to send its body.
pub fn expects_continue(head: &RequestHeader) -> bool {
    let expect = head.headers.get(header::EXPECT);
    expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        && head.method != Method::CONNECT
}

pub fn left(error: Option<BError>) -> Fault {
    Fault::CallerLeft(error.map_or_else(|| "the connection ended".to_owned(), |error| kind_of(&error)))
}

/// A caller who went away, or one whose body is not framed as announced.
pub fn caller_fault(error: BError) -> Fault {
    match error.etype() {
        ErrorType::ConnectionClosed
        | ErrorType::ReadError
        | ErrorType::ReadTimedout
        | ErrorType::H2Error
        | ErrorType::ConnectError => left(Some(error)),
        _ => Fault::Refused(
            Refusal::new(Code::InvalidRequest, "the request body is malformed").because(kind_of(&error)),
        ),
    }
}
