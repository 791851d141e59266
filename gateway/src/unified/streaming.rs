//! A file that goes up to the one provider that may serve it while its caller still sends it.
//!
//! A pooled connection that turns out to be dead is replaced once, as long as only the file's beginning has been sent
//! on it, which is still in memory. A connection that is lost while the caller still sends is not held against the
//! provider: a caller that is slow may be why.

use audio::Excerpt;
use bytes::Bytes;
use policies::rewrite::RewriteError;
use policies::unified::{TranscriptionPlan, TranscriptionRequest, TranslatedHead};
use policies::vocabulary::Task;
use tokio::time::Instant;

use super::Request;
use super::attempts::Unanswered;
use super::exchange::send_head;
use super::form::{FilePart, Form};
use super::judging::Trouble;
use super::speech::untranslated;
use super::spool::Encode;
use super::transcription::{file_too_large, new_boundary};
use super::upload::Incoming;
use crate::resolve::Purpose;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::prepare::Body;
use crate::stages::record::Attempt;
use crate::stages::upstream::{Upstream, fault_of};

/// The call that a file goes up in.
pub struct Streaming {
    pub plan: TranscriptionPlan,
    pub permit: Permit,
}

pub struct Uploaded<'p> {
    pub streaming: &'p Streaming,
    pub attempt: Attempt<'p>,
    pub sent: Result<(Upstream, Taken), Trouble>,
    pub excerpt: Excerpt,
}

/// How much of a file the provider took.
pub enum Taken {
    /// All of it, and the fields: what the caller asks for.
    All(TranscriptionRequest),
    Part {
        all_had_come: bool,
    },
}

/// What follows the part of a file that has been sent.
enum Next {
    Chunk(Bytes),
    End,
    /// The provider has answered, or takes no more.
    Nothing,
}

/// A form of the provider's that is filled while the caller's is read.
struct Sending<'u, 'p, 'a> {
    request: &'u Request<'a>,
    streaming: &'p Streaming,
    attempt: &'u mut Attempt<'p>,
    boundary: String,
    encode: Encode,
    /// Of the file.
    length: u64,
}

pub async fn stream_up<'a: 'p, 'p>(
    request: &mut Request<'a>,
    mut incoming: Incoming<'_>,
    plan: TranscriptionPlan,
    streaming: &'p mut Option<Streaming>,
) -> Result<Uploaded<'p>, Unanswered> {
    let boundary = new_boundary();
    let head = plan.head(None, &boundary).map_err(untranslated)?;
    let before = plan.before(None, &boundary).map_err(untranslated)?;
    let permit = request.permit(plan.candidate(), &head, true).await?;
    let streaming: &'p Streaming = streaming.insert(Streaming { plan, permit });
    let (plan, permit) = (&streaming.plan, &streaming.permit);
    let mut attempt = request.record(permit, plan.candidate(), &head.headers, true);
    let mut excerpt = std::mem::take(&mut incoming.excerpt);
    let mut sending = Sending {
        request,
        streaming,
        attempt: &mut attempt,
        boundary,
        encode: Encode::new(plan.encoding()),
        length: 0,
    };
    let sent = sending.send_form(&head, before, incoming, &mut excerpt).await;
    Ok(Uploaded {
        streaming,
        attempt,
        sent: sent.map_err(Trouble::from),
        excerpt,
    })
}

impl Sending<'_, '_, '_> {
    async fn send_form(
        &mut self,
        head: &TranslatedHead,
        before: Bytes,
        incoming: Incoming<'_>,
        excerpt: &mut Excerpt,
    ) -> Result<(Upstream, Taken), Fault> {
        let Incoming {
            task,
            mut form,
            mut file,
            first,
            ..
        } = incoming;
        let beginning = [before, self.take(first)?];
        let (mut upstream, next) = self.begin(head, &beginning, &mut file).await?;
        let went_up = self.send_file(&mut upstream, &mut file, next, excerpt).await;
        drop(file);
        let taken = match went_up {
            Ok(true) => self.send_rest(&mut upstream, task, &mut form).await,
            Ok(false) => Ok(Taken::Part { all_had_come: false }),
            Err(fault) => Err(fault),
        };
        match taken {
            Ok(taken) => Ok((upstream, taken)),
            Err(fault) => {
                upstream.abort().await;
                Err(fault)
            }
        }
    }

    /// A connection on which head and beginning have been sent, and what follows.
    async fn begin(
        &mut self,
        head: &TranslatedHead,
        beginning: &[Bytes],
        file: &mut FilePart<'_>,
    ) -> Result<(Upstream, Next), Fault> {
        let mut again = true;
        loop {
            let mut upstream = self.open(file).await?;
            match self.begin_on(&mut upstream, head, beginning, file).await {
                Ok(next) => return Ok((upstream, next)),
                Err(Fault::Lost(_)) if again && upstream.reused => again = false,
                Err(fault) => {
                    upstream.abort().await;
                    return Err(fault);
                }
            }
        }
    }

    /// A connection, unless the caller leaves meanwhile.
    async fn open(&mut self, file: &mut FilePart<'_>) -> Result<Upstream, Fault> {
        let began = Instant::now();
        let permit = &self.streaming.permit;
        let (grant, gateway) = (&permit.grant, self.request.gateway);
        let opening = Upstream::open(
            self.request.connector,
            &gateway.addresses,
            grant.origin(),
            grant.provider().timeouts,
            Purpose::Calls,
        );
        let opened = tokio::select! {
            biased;
            opened = opening => opened,
            why = file.broken_off() => Err(fault(why)),
        };
        self.attempt.connected(began.elapsed());
        opened.inspect_err(|fault| self.request.note_fault(permit, fault))
    }

    async fn begin_on(
        &mut self,
        upstream: &mut Upstream,
        head: &TranslatedHead,
        beginning: &[Bytes],
        file: &mut FilePart<'_>,
    ) -> Result<Next, Fault> {
        let permit = &self.streaming.permit;
        send_head(permit, self.attempt, head, &head.headers, Body::Open, upstream).await?;
        // Counted once, however often it is sent.
        if self.attempt.bytes_in == 0 {
            beginning.iter().for_each(|part| self.attempt.request_chunk(part));
        }
        for part in beginning {
            match upstream.send(part.clone()).await {
                Ok(()) => {}
                Err(error) if upstream.reused => return Err(fault_of(&error, false)),
                Err(error) => {
                    takes_no_more(&error);
                    return Ok(Next::Nothing);
                }
            }
        }
        following(upstream, file).await
    }

    /// False when the provider takes no more.
    async fn send_file(
        &mut self,
        upstream: &mut Upstream,
        file: &mut FilePart<'_>,
        mut next: Next,
        excerpt: &mut Excerpt,
    ) -> Result<bool, Fault> {
        loop {
            match next {
                Next::Nothing => return Ok(false),
                Next::End => break,
                Next::Chunk(chunk) => {
                    excerpt.feed(&chunk);
                    let audio = self.take(chunk)?;
                    if !self.send(upstream, audio).await {
                        return Ok(false);
                    }
                }
            }
            next = following(upstream, file).await?;
        }
        let last = self.encode.finish();
        Ok(self.send(upstream, last).await)
    }

    /// More of the file, as it stands in the provider's body.
    fn take(&mut self, chunk: Bytes) -> Result<Bytes, Fault> {
        self.length += chunk.len() as u64;
        let plan = &self.streaming.plan;
        let most = plan.max_audio_bytes();
        if self.length > most {
            return Err(Fault::Refused(file_too_large(most, &plan.candidate().provider)));
        }
        Ok(self.encode.push(chunk))
    }

    async fn send_rest(
        &mut self,
        upstream: &mut Upstream,
        task: Task,
        form: &mut Form<'_>,
    ) -> Result<Taken, Fault> {
        while form.next_file().await.map_err(fault)?.is_some() {}
        let asked = TranscriptionRequest::parse(task, &form.fields).map_err(Fault::Refused)?;
        let plan = &self.streaming.plan;
        plan.check(&asked).map_err(Fault::Refused)?;
        let after = plan.after(&asked, &self.boundary).map_err(internal)?;
        let is_complete = self.send(upstream, after).await && upstream.finish().await.is_ok();
        Ok(match is_complete {
            true => Taken::All(asked),
            false => Taken::Part { all_had_come: true },
        })
    }

    async fn send(&mut self, upstream: &mut Upstream, chunk: Bytes) -> bool {
        self.attempt.request_chunk(&chunk);
        let sent = upstream.send(chunk).await;
        sent.inspect_err(|error| takes_no_more(error)).is_ok()
    }
}

/// More of the file, unless the provider says something first: before the whole file is there that can only be a refusal.
async fn following(upstream: &mut Upstream, file: &mut FilePart<'_>) -> Result<Next, Fault> {
    tokio::select! {
        biased;
        said = upstream.next() => match said {
            Ok(_) => Ok(Next::Nothing),
            Err(error) => Err(fault_of(&error, false)),
        },
        chunk = file.chunk() => match chunk {
            Ok(Some(chunk)) => Ok(Next::Chunk(chunk)),
            Ok(None) => Ok(Next::End),
            Err(why) => Err(fault(why)),
        },
    }
}

fn takes_no_more(error: &pingora::Error) {
    tracing::debug!(%error, "the provider takes no more of the body");
}

fn fault(unanswered: Unanswered) -> Fault {
    match unanswered {
        Unanswered::CallerLeft => Fault::CallerLeft("the connection ended".into()),
        Unanswered::Refused(refusal) => Fault::Refused(refusal),
        Unanswered::Failed(failure) => Fault::Refused(failure.refusal),
    }
}

fn internal(error: RewriteError) -> Fault {
    Fault::Internal(format!("translating the request: {error}"))
}
