//! `POST /v1/audio/speech`: a text spoken by the first candidate that can.
//!
//! A text longer than a provider speaks at once takes several calls, one after the other, which come out as one audio.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use policies::meter::Reading;
use policies::unified::{Candidate, SpeechPlan, SpeechRequest, SpokenAs, candidates};
use policies::vocabulary::{AudioFormat, Code, Operation, Refusal, Task};
use tokio::time::Instant;

use super::attempts::{Attempts, Patience, Unanswered};
use super::body::read_whole;
use super::exchange::Outgoing;
use super::judging::Trouble;
use super::selection::selection_for;
use super::sound::{Sound, Source};
use super::speaking::Speaking;
use super::{Request, Unified};
use crate::proxy::After;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::record::Attempt;
use crate::stages::upstream::{Event, Upstream};
use crate::telemetry::Kind;

const MOST_BODY: u64 = 8 * 1024 * 1024;
/// What every provider's audio is asked for at, where its length is to be known beforehand.
const RATE: u32 = 24_000;

/// One candidate at work on one text.
struct Speech<'s> {
    plan: &'s SpeechPlan,
    sound: Sound,
    speaking: Speaking,
    patience: Patience<'s>,
    /// What the calls before this one have consumed.
    consumed: Reading,
}

impl Request<'_> {
    /// The first candidate has to be able to do what is asked; one after it that cannot is passed over.
    async fn speech_plans(&self, request: &SpeechRequest) -> Result<Vec<SpeechPlan>, Refusal> {
        let gateway = self.gateway;
        let selection = selection_for(&self.caller, Operation::Tts, &gateway.vault, &gateway.app).await?;
        let (model, voice) = (request.model.as_str(), request.voice.as_deref());
        let found = candidates(
            Task::Speech,
            model,
            voice,
            selection.as_deref(),
            &gateway.providers,
        )?;
        let mut plans = Vec::with_capacity(found.len());
        for candidate in &found {
            let planned = match SpeechPlan::new(candidate, request) {
                Ok(plan) => self.check_style(&plan).await.map(|()| plan),
                Err(refusal) => Err(refusal),
            };
            match planned {
                Ok(plan) => plans.push(plan),
                Err(refusal) if plans.is_empty() => {
                    return Err(refusal.provider(candidate.provider.id.clone()));
                }
                Err(_) => {}
            }
        }
        Ok(plans)
    }
}

impl Unified<'_> {
    pub(super) async fn speak(&mut self) -> Result<After, Unanswered> {
        let began = Instant::now();
        let most = MOST_BODY.min(self.request.gateway.limits.max_body_bytes);
        let body = read_whole(self.session, most).await?;
        self.request.waited = began.elapsed();
        let request = SpeechRequest::parse(&body)?;
        drop(body);
        let plans = self.request.speech_plans(&request).await?;
        let others: Vec<Candidate> = plans.iter().map(|plan| plan.candidate().clone()).collect();
        let (mut attempts, end) = (Attempts::default(), self.request.attempts_end(plans.len()));
        for (at, plan) in plans.iter().enumerate() {
            let speech = Speech {
                plan,
                sound: Sound::new(plan.format(), plan.spoken_as),
                speaking: Speaking::new(plan.format(), request.delivery),
                patience: self.request.patience(end, &others[at + 1..]),
                consumed: Reading::default(),
            };
            match Box::pin(self.speak_with(speech)).await {
                Ok(after) => return Ok(after),
                Err(unanswered) => self.request.goes_on(&mut attempts, unanswered, end)?,
            }
        }
        Err(attempts.exhausted())
    }

    async fn speak_with(&mut self, mut speech: Speech<'_>) -> Result<After, Unanswered> {
        for piece in 0..speech.plan.pieces() {
            let unanswered = match self.speak_piece(&mut speech, piece).await {
                Ok(()) => continue,
                Err(unanswered) => unanswered,
            };
            if !speech.speaking.begun {
                return Err(unanswered);
            }
            if let Unanswered::Refused(refusal) = &unanswered {
                self.break_off(&speech.speaking, refusal).await;
            } else if let Unanswered::Failed(failure) = &unanswered {
                self.break_off(&speech.speaking, &failure.refusal).await;
            }
            return Ok(After::Cut);
        }
        Ok(After::Finish)
    }

    async fn speak_piece(&mut self, speech: &mut Speech<'_>, piece: usize) -> Result<(), Unanswered> {
        let plan = speech.plan;
        let call = plan.call(piece).map_err(untranslated)?;
        let only = speech.patience.others().is_empty();
        let permit = self.request.permit(plan.candidate(), &call.head, only).await?;
        let first = piece == 0;
        let mut attempt = self
            .request
            .record(&permit, plan.candidate(), &call.head.headers, first);
        let _active = self
            .request
            .gateway
            .meters
            .active(&plan.candidate().provider.id, Kind::Http);
        let body = Outgoing::Whole(call.body);
        let asked = self
            .ask(&permit, &mut attempt, &call.head, &body, &mut speech.patience)
            .await;
        let spoken = match asked {
            Ok(upstream) => self.pass_on(speech, piece, &permit, &mut attempt, upstream).await,
            Err(trouble) => Err(trouble),
        };
        self.request.ended(attempt, &permit, spoken)
    }

    /// The audio of one answer, to its end.
    async fn pass_on(
        &mut self,
        speech: &mut Speech<'_>,
        piece: usize,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        mut upstream: Upstream,
    ) -> Result<(), Trouble> {
        let last = piece + 1 == speech.plan.pieces();
        let before = speech.sound.seconds().unwrap_or_default();
        if last && piece == 0 {
            speech.sound.samples = samples(speech.plan, upstream.head().map(|head| &head.headers));
        }
        let passed = self
            .pass_audio(speech, last, permit, attempt, &mut upstream)
            .await;
        attempt.audio_seconds = speech.sound.seconds().map(|seconds| seconds - before);
        speech.consumed = sum(&speech.consumed, &attempt.reading());
        if passed.is_ok() {
            Box::pin(upstream.release_if_finished(self.request.connector)).await;
        } else {
            upstream.abort().await;
        }
        passed.map_err(|fault| {
            Trouble::Fault(if speech.speaking.begun {
                fault.in_mid_answer()
            } else {
                fault
            })
        })
    }

    async fn pass_audio(
        &mut self,
        speech: &mut Speech<'_>,
        last: bool,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        upstream: &mut Upstream,
    ) -> Result<(), Fault> {
        let encoders = &self.request.gateway.encoders;
        let idle = permit.grant.provider().timeouts.idle;
        let mut source = Source::new(speech.plan);
        if let Some(head) = upstream.head() {
            source.begin(&head.headers)?;
        }
        let before = speech.sound.seconds();
        let mut any = false;
        while !upstream.is_complete() {
            let event = self
                .hear_patiently(upstream, idle, "waiting for audio", &mut speech.patience)
                .await?;
            let Event::Chunk(chunk) = event else { break };
            attempt.answer_chunk(&chunk);
            let audio = speech.sound.feed(&mut source, chunk, encoders).await?;
            any |= !audio.is_empty() || speech.sound.seconds() > before;
            self.say(speech, audio).await?;
        }
        let rest = speech.sound.end_source(source, encoders).await?;
        if !any && rest.is_empty() && speech.sound.seconds() <= before {
            return Err(Fault::Garbled("the answer holds no audio".into()));
        }
        self.say(speech, rest).await?;
        if !last {
            return Ok(());
        }
        let end = speech.sound.finish(encoders).await?;
        let consumed = sum(&speech.consumed, &attempt.reading());
        let seconds = speech.sound.seconds();
        let reading = Reading {
            audio_seconds: seconds.or(consumed.audio_seconds),
            ..consumed
        };
        self.end_speech(&mut speech.speaking, end, &reading).await
    }

    async fn say(&mut self, speech: &mut Speech<'_>, audio: bytes::Bytes) -> Result<(), Fault> {
        if !speech.speaking.begun {
            speech.speaking.length = speech.sound.length(&audio);
        }
        self.utter(&mut speech.speaking, audio).await?;
        if speech.speaking.begun {
            speech.patience.settle();
        }
        Ok(())
    }
}

/// What several calls have consumed together, as far as each says so.
fn sum(one: &Reading, other: &Reading) -> Reading {
    let whole =
        |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).reduce(u64::saturating_add);
    Reading {
        characters: whole(one.characters, other.characters),
        tokens_in: whole(one.tokens_in, other.tokens_in),
        tokens_out: whole(one.tokens_out, other.tokens_out),
        ..other.clone()
    }
}

pub(super) fn untranslated(error: policies::rewrite::RewriteError) -> Unanswered {
    tracing::error!(%error, "a request cannot be translated");
    let message = "the gateway failed; the request id finds why";
    Refusal::new(Code::Internal, message)
        .because(error.to_string())
        .into()
}

/// How many samples will come: known where the answer is nothing but samples and says how long it is.
fn samples(plan: &SpeechPlan, head: Option<&HeaderMap>) -> Option<u64> {
    let headers = head?;
    let is_bare = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("audio/") || kind.starts_with("application/octet-stream"));
    let fits = is_bare && plan.spoken_as == SpokenAs::Pcm { rate: RATE } && plan.format() == AudioFormat::Wav;
    let length: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    fits.then_some(length / 2)
}
