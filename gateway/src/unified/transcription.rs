//! `POST /v1/audio/transcriptions` and `/translations`: a file read by the first candidate that can.
//!
//! Where one candidate alone may serve and takes a form, the file goes up as it comes ([`super::upload`]). Else it is
//! spooled, since the fields behind it decide who is called, or because more than one may have to be.

use audio::Excerpt;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use policies::descriptor::Provider;
use policies::unified::{
    Candidate, Transcript, TranscriptionPlan, TranscriptionRequest, read_transcript, render,
    transcript_events,
};
use policies::vocabulary::{Code, Refusal, Task};
use uuid::Uuid;

use super::Unified;
use super::attempts::{Attempts, Patience, Unanswered};
use super::body::invite;
use super::exchange::Outgoing;
use super::judging::Trouble;
use super::speech::untranslated;
use super::spool::{Spool, Spooled};
use super::upload::{Arrival, Uploaded, receive};
use crate::proxy::After;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::record::Attempt;
use crate::stages::upstream::{Event, Upstream};

const MOST_ANSWER: usize = 32 * 1024 * 1024;

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
                Err(_) if self.session.response_written().is_some() => return Ok(After::Cut),
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
        let _active = self.request.gateway.meters.active(&plan.candidate().provider.id);
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
        let _active = self.request.gateway.meters.active(&plan.candidate().provider.id);
        let mut patience = self.request.patience(self.request.attempts_end(1), &[]);
        let told = match sent {
            Err(trouble) => Err(trouble),
            Ok((upstream, None)) => self.hear_refusal(permit, &mut attempt, upstream).await,
            Ok((mut upstream, Some(request))) => {
                let limit = permit.grant.provider().timeouts.first_byte;
                let head = self
                    .hear_patiently(&mut upstream, limit, "waiting for the answer", &mut patience)
                    .await;
                match self.begun(permit, &mut attempt, upstream, head.map(drop)).await {
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
            Err(_) if self.session.response_written().is_some() => Ok(After::Cut),
            Err(unanswered) => Err(unanswered),
        }
    }

    /// A provider that takes no more of a file has refused it, and says so now.
    async fn hear_refusal(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        mut upstream: Upstream,
    ) -> Result<(), Trouble> {
        let said = self.last_words(&mut upstream).await;
        let upstream = self.begun(permit, attempt, upstream, said).await?;
        upstream.abort().await;
        Err(Fault::Garbled("a success before the file had been sent".into()).into())
    }

    async fn begun(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        upstream: Upstream,
        head: Result<(), Fault>,
    ) -> Result<Upstream, Trouble> {
        match head {
            Ok(()) => self.begin_answer(permit, attempt, upstream).await,
            Err(fault) => {
                upstream.abort().await;
                self.request.note_fault(permit, &fault);
                Err(fault.into())
            }
        }
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
        let read = read_transcript(plan.candidate(), request, &body);
        let mut transcript = read.map_err(|bad| Fault::Garbled(bad.to_string()))?;
        transcript.duration = transcript.duration.or_else(|| excerpt.duration());
        if transcript.duration.is_some() {
            attempt.audio_seconds = transcript.duration;
        }
        Ok(self.tell(&transcript, request).await?)
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
                return Err(Fault::Garbled("a transcript of more than 32 MiB".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    async fn tell(&mut self, transcript: &Transcript, request: &TranscriptionRequest) -> Result<(), Fault> {
        if !request.stream {
            let rendered = render(transcript, request);
            return self.reply(rendered.content_type, rendered.body).await.map(drop);
        }
        self.write_head("text/event-stream", HeaderMap::with_capacity(8))
            .await?;
        for event in transcript_events(transcript, request) {
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
