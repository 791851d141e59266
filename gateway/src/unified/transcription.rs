//! `POST /v1/audio/transcriptions` and `/translations`: a file read by the first candidate that can.
//!
//! Where one candidate alone may serve and takes a form, the file goes up as it comes ([`super::streaming`]). Else it is
//! spooled, since the fields behind it decide who is called, or because more than one may have to be.

use audio::Excerpt;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use policies::descriptor::Provider;
use policies::unified::{Candidate, TranscriptionPlan, TranscriptionRequest};
use policies::vocabulary::{Code, Refusal, Task};
use uuid::Uuid;

use super::Unified;
use super::attempts::{Attempts, Patience, Unanswered};
use super::body::invite;
use super::exchange::Outgoing;
use super::judging::Trouble;
use super::speech::untranslated;
use super::spool::{Spool, Spooled};
use super::streaming::{Taken, Uploaded};
use super::transcript::{Text, Written, written};
use super::upload::{Arrival, receive};
use crate::proxy::After;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::record::Attempt;
use crate::stages::upstream::{Event, Upstream};
use crate::telemetry::Kind;

const MOST_ANSWER: usize = 16 * 1024 * 1024;

/// A file that has arrived, and what came with it.
pub struct Upload {
    pub request: TranscriptionRequest,
    pub plans: Vec<TranscriptionPlan>,
    pub spool: Spool,
    pub excerpt: Excerpt,
}

impl Unified<'_> {
    pub(super) async fn transcribe(&mut self, task: Task) -> Result<After, Unanswered> {
        invite(self.session, self.request.gateway.limits.max_body_bytes).await?;
        let mut streaming = None;
        match receive(&mut self.request, self.session, task, &mut streaming).await? {
            Arrival::Spooled(upload) => self.read_by_one_of(*upload).await,
            Arrival::UnderWay(uploaded) => self.read_as_it_came(*uploaded).await,
        }
    }

    async fn read_by_one_of(&mut self, upload: Upload) -> Result<After, Unanswered> {
        let plans = &upload.plans;
        let others: Vec<Candidate> = plans.iter().map(|plan| plan.candidate().clone()).collect();
        let (mut attempts, end) = (Attempts::default(), self.request.attempts_end(plans.len()));
        for (at, plan) in plans.iter().enumerate() {
            let mut patience = self.request.patience(end, &others[at + 1..]);
            match Box::pin(self.read_by(plan, &upload, &mut patience)).await {
                Ok(()) => return Ok(After::Finish),
                Err(_) if self.has_told() => return Ok(After::Cut),
                Err(unanswered) => self.request.goes_on(&mut attempts, unanswered, end)?,
            }
        }
        Err(attempts.exhausted())
    }

    async fn read_by(
        &mut self,
        plan: &TranscriptionPlan,
        upload: &Upload,
        patience: &mut Patience<'_>,
    ) -> Result<(), Unanswered> {
        let (request, boundary) = (Some(&upload.request), new_boundary());
        let head = plan.head(request, &boundary).map_err(untranslated)?;
        let before = plan.before(request, &boundary).map_err(untranslated)?;
        let after = plan.after(&upload.request, &boundary).map_err(untranslated)?;
        let body = Outgoing::Spooled(Spooled::new(&upload.spool, plan.encoding(), before, after));
        let only = patience.others().is_empty();
        let permit = self.request.permit(plan.candidate(), &head, only).await?;
        let mut attempt = self
            .request
            .record(&permit, plan.candidate(), &head.headers, true);
        let _active = self
            .request
            .gateway
            .meters
            .active(&plan.candidate().provider.id, Kind::Http);
        let told = match self.ask(&permit, &mut attempt, &head, &body, patience).await {
            Ok(upstream) => {
                let heard = (&upload.request, &upload.excerpt);
                self.hear_transcript(plan, heard, &permit, &mut attempt, upstream, patience)
                    .await
            }
            Err(trouble) => Err(trouble),
        };
        self.request.ended(attempt, &permit, told)
    }

    /// The answer to a file that has gone up already.
    async fn read_as_it_came(&mut self, uploaded: Uploaded<'_>) -> Result<After, Unanswered> {
        let Uploaded {
            streaming,
            mut attempt,
            sent,
            excerpt,
        } = uploaded;
        let (plan, permit) = (&streaming.plan, &streaming.permit);
        let _active = self
            .request
            .gateway
            .meters
            .active(&plan.candidate().provider.id, Kind::Http);
        let mut patience = self.request.patience(self.request.attempts_end(1), &[]);
        let told = match sent {
            Err(trouble) => Err(trouble),
            Ok((upstream, Taken::Part { all_had_come })) => {
                self.hear_refusal(permit, &mut attempt, upstream, all_had_come)
                    .await
            }
            Ok((upstream, Taken::All(request))) => {
                match self
                    .hear_head(permit, &mut attempt, upstream, &mut patience)
                    .await
                {
                    Ok(upstream) => {
                        let heard = (&request, &excerpt);
                        self.hear_transcript(plan, heard, permit, &mut attempt, upstream, &mut patience)
                            .await
                    }
                    Err(trouble) => Err(trouble),
                }
            }
        };
        match self.request.ended(attempt, permit, told) {
            Ok(()) => Ok(After::Finish),
            Err(_) if self.has_told() => Ok(After::Cut),
            Err(unanswered) => Err(unanswered),
        }
    }

    /// Whether the caller has the head of its answer; leave to go on is none.
    fn has_told(&self) -> bool {
        let written = self.session.response_written();
        written.is_some_and(|head| !head.status.is_informational())
    }

    async fn hear_head(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        mut upstream: Upstream,
        patience: &mut Patience<'_>,
    ) -> Result<Upstream, Trouble> {
        let limit = permit.grant.provider().timeouts.first_byte;
        let heard = self
            .hear_patiently(&mut upstream, limit, "waiting for the answer", patience)
            .await;
        if let Err(fault) = heard {
            upstream.abort().await;
            self.request.note_fault(permit, &fault);
            return Err(fault.into());
        }
        self.begin_answer(permit, attempt, upstream).await
    }

    /// A provider that takes no more of a file has refused it, and says so now. One that hangs up on a caller who has
    /// not sent all of it may have lost patience with the caller.
    async fn hear_refusal(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        mut upstream: Upstream,
        all_had_come: bool,
    ) -> Result<(), Trouble> {
        if let Err(fault) = self.last_words(&mut upstream).await {
            upstream.abort().await;
            if all_had_come {
                self.request.note_fault(permit, &fault);
            }
            return Err(fault.into());
        }
        let upstream = self.begin_answer(permit, attempt, upstream).await?;
        upstream.abort().await;
        Err(Fault::Garbled("a success before the file had been sent".into()).into())
    }

    /// Reads the answer and tells the caller what it says.
    async fn hear_transcript(
        &mut self,
        plan: &TranscriptionPlan,
        (request, excerpt): (&TranscriptionRequest, &Excerpt),
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        mut upstream: Upstream,
        patience: &mut Patience<'_>,
    ) -> Result<(), Trouble> {
        let body = match self.collect(permit, attempt, &mut upstream, patience).await {
            Ok(body) => body,
            Err(fault) => {
                upstream.abort().await;
                return Err(fault.into());
            }
        };
        Box::pin(upstream.release_if_finished(self.request.connector)).await;
        let written = written(plan.candidate(), request, body, excerpt.duration()).await?;
        if written.duration.is_some() {
            attempt.audio_seconds = written.duration;
        }
        Ok(self.tell(written).await?)
    }

    async fn collect(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        upstream: &mut Upstream,
        patience: &mut Patience<'_>,
    ) -> Result<Bytes, Fault> {
        let idle = permit.grant.provider().timeouts.idle;
        let mut body = BytesMut::new();
        while !upstream.is_complete() {
            let event = self
                .hear_patiently(upstream, idle, "waiting for the rest of the answer", patience)
                .await?;
            let Event::Chunk(chunk) = event else { break };
            attempt.answer_chunk(&chunk);
            if body.len() + chunk.len() > MOST_ANSWER {
                return Err(Fault::Garbled("a transcript of more than 16 MiB".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    async fn tell(&mut self, written: Written) -> Result<(), Fault> {
        let events = match written.text {
            Text::Whole(rendered) => return self.reply(rendered.content_type, rendered.body).await.map(drop),
            Text::Events(events) => events,
        };
        self.write_head("text/event-stream", HeaderMap::with_capacity(8))
            .await?;
        for event in events {
            self.write(event.into(), false).await?;
        }
        self.write(Bytes::new(), true).await
    }
}

pub(super) fn new_boundary() -> String {
    format!("voxgate-{}", Uuid::new_v4().simple())
}

pub(super) fn file_too_large(most: u64, provider: &Provider) -> Refusal {
    let name = &provider.name;
    let message = format!("the file is larger than {most} bytes, which is the most that {name} takes");
    Refusal::new(Code::PayloadTooLarge, message).at("file")
}
