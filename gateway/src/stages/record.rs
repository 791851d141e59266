//! What came of a request → `UsageEvent` or `AuditEvent`, a log line and metrics; every request ends here.
//!
//! [`Attempt`] exists from before the first byte goes upstream, and dropping it records. An exchange that is
//! cut short in any way, a panic and a runtime shut down included, is on record as interrupted.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use callers::RefusalBudget;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Method};
use policies::meter::{Meter, Reading, recordable};
use policies::rules;
use policies::socket::SocketMeter;
use policies::vocabulary::{
    Actor, AuditAction, AuditEvent, AuditOutcome, ClosedBy, Code, Outcome, RecordEvent, Refusal, RequestId,
    UsageEvent,
};
use uuid::Uuid;
use vault::Vault;

use super::authorise::Grant;
use super::{Fault, Seen, answer};
use crate::telemetry::{Attempted, Meters, Refused};
use crate::tunnel::messages::{Messages, SocketEnd};

/// One request, from the end of its head.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: RequestId,
    pub ip: Option<IpAddr>,
    pub method: Method,
    pub at: DateTime<Utc>,
    pub began: Instant,
}

impl Call {
    pub fn begin(method: Method, ip: Option<IpAddr>) -> Self {
        Self {
            id: Uuid::now_v7(),
            ip,
            method,
            at: Utc::now(),
            began: Instant::now(),
        }
    }
}

/// One candidate tried, and what it has consumed so far.
pub struct Attempt<'c> {
    id: Uuid,
    number: u16,
    began: Instant,
    /// Where our overhead is counted from; `None` for a call that another one went before.
    overhead_from: Option<Instant>,
    /// The model that the translated call is for, over what is read from its body unless the voice decides it.
    model: Option<&'c str>,
    /// Seconds of audio that were measured here, over what is read from the answer.
    pub audio_seconds: Option<f64>,
    vault: &'c Vault,
    meters: &'c Meters,
    call: &'c Call,
    grant: &'c Grant,
    meter: Meter,
    pub bytes_in: u64,
    bytes_out: u64,
    status: Option<u16>,
    first_byte: Option<Duration>,
    connecting: Duration,
    overhead: Option<Duration>,
    /// What is wrong, in a word for the outside.
    pub code: Option<Code>,
    cause: Option<String>,
    outcome: Outcome,
    /// What is heard of a WebSocket's messages, once there are some.
    messages: Option<Box<Messages>>,
}

impl<'c> Attempt<'c> {
    pub fn begin(
        vault: &'c Vault,
        meters: &'c Meters,
        call: &'c Call,
        grant: &'c Grant,
        headers: &HeaderMap,
    ) -> Self {
        let meter = Meter::start(grant.route(), headers, grant.inbound().query.as_deref());
        Self {
            // A native request makes one attempt, so its id serves for that as well.
            id: call.id,
            number: 1,
            began: call.began,
            overhead_from: Some(call.began),
            model: None,
            audio_seconds: None,
            vault,
            meters,
            call,
            grant,
            meter,
            bytes_in: 0,
            bytes_out: 0,
            status: None,
            first_byte: None,
            connecting: Duration::ZERO,
            overhead: None,
            code: None,
            cause: None,
            outcome: Outcome::Interrupted,
            messages: None,
        }
    }

    /// Of a WebSocket that the provider has agreed to: from now on its messages are what the call consists of.
    pub fn messages(&mut self) -> &mut Messages {
        self.messages.get_or_insert_with(|| {
            let (route, query) = (self.grant.route(), self.grant.inbound().query.as_deref());
            Box::new(Messages::new(SocketMeter::start(route, query)))
        })
    }

    /// What a WebSocket has carried so far, frames and all.
    pub fn carried(&mut self, bytes_in: u64, bytes_out: u64) {
        (self.bytes_in, self.bytes_out) = (bytes_in, bytes_out);
    }

    /// Writes down what was used so far. What is written at the end takes its place.
    pub fn so_far(&self) {
        let event = self.event(self.began.elapsed());
        self.vault.record(RecordEvent::Usage(Box::new(event)));
    }

    pub fn call(&self) -> &'c Call {
        self.call
    }

    /// One call of several that a request may make, for a model that is known. What it takes is counted from now.
    pub fn numbered(mut self, number: u16, model: &'c str) -> Self {
        self.call_of_several(number, Some(model));
        self
    }

    fn call_of_several(&mut self, number: u16, model: Option<&'c str>) {
        self.id = Uuid::now_v7();
        self.number = number;
        self.began = Instant::now();
        self.overhead_from = None;
        self.model = model;
    }

    /// The first of them, before which nothing was waited for but the caller's body, for `waited`.
    pub fn first(mut self, waited: Duration) -> Self {
        self.overhead_from = Some(self.call.began);
        self.connecting = waited;
        self
    }

    /// Another exchange for the same candidate.
    pub fn again(&self, headers: &HeaderMap) -> Self {
        let mut again = Self::begin(self.vault, self.meters, self.call, self.grant, headers);
        again.call_of_several(self.number, self.model);
        again
    }

    /// The model of a translated call.
    pub fn model(&self) -> Option<&str> {
        self.model
    }

    /// What was consumed until now.
    pub fn reading(&self) -> Reading {
        let mut reading = self.meter.reading();
        if let Some(messages) = &self.messages {
            reading = Reading {
                provider_request_id: reading.provider_request_id,
                ..messages.reading().call
            };
        }
        let voice_decides = !self.grant.route().endpoint().meter.model_by_voice.is_empty();
        if let Some(model) = self.model
            && !(voice_decides && reading.model.is_some())
        {
            reading.model = recordable(model);
        }
        if self.audio_seconds.is_some() {
            reading.audio_seconds = self.audio_seconds;
        }
        reading
    }

    pub fn actor(&self) -> Actor {
        Actor {
            user: Some(self.grant.caller().user.clone()),
            ip: self.call.ip,
            request_id: self.call.id,
        }
    }

    pub fn connected(&mut self, took: Duration) {
        self.connecting += took;
    }

    /// The upstream head is on its way: what we cost the caller until here is our overhead.
    pub fn sent(&mut self) {
        self.overhead = self
            .overhead_from
            .map(|from| from.elapsed().saturating_sub(self.connecting));
    }

    pub fn request_chunk(&mut self, chunk: &[u8]) {
        self.bytes_in += chunk.len() as u64;
        self.meter.request_chunk(chunk);
    }

    pub fn answered(&mut self, status: u16, headers: &HeaderMap) {
        self.status = Some(status);
        self.first_byte = Some(self.began.elapsed());
        self.meter.answer_head(status, headers);
    }

    pub fn answer_chunk(&mut self, chunk: &[u8]) {
        self.bytes_out += chunk.len() as u64;
        self.meter.answer_chunk(chunk);
    }

    /// The exchange is over; dropping the attempt writes it down.
    pub fn end(mut self, result: Result<(), &Fault>) {
        match result {
            Ok(()) if self.messages.is_some() => self.outcome = self.socket_outcome(),
            Ok(()) if self.status.is_some_and(|status| status < 400) => {
                self.outcome = Outcome::Ok;
                answer::note_success(self.vault, self.grant, self.actor());
            }
            Ok(()) => self.outcome = Outcome::Error,
            Err(fault) => {
                let interrupted = matches!(fault, Fault::CallerLeft(_) | Fault::Broken(_));
                self.outcome = if interrupted {
                    Outcome::Interrupted
                } else {
                    Outcome::Error
                };
                let code = fault.refusal(self.grant.provider()).map(|refusal| refusal.code);
                self.code = code.or(self.code);
                self.cause = Some(fault.cause().to_owned());
                if let Some(kind) = fault.kind() {
                    self.meters.upstream_error(&self.grant.provider().id, kind);
                }
            }
        }
    }

    /// Of a WebSocket, the first of what was asked for counts; that its provider agreed to it tells nothing.
    fn first_byte(&self) -> Option<Duration> {
        match &self.messages {
            Some(messages) => messages.first_answer,
            None => self.first_byte,
        }
    }

    fn socket_outcome(&self) -> Outcome {
        let messages = self.messages.as_deref();
        match messages.and_then(|messages| messages.end) {
            _ if messages.is_some_and(|messages| messages.refuses) => Outcome::Error,
            Some(end) if end.is_fine() => Outcome::Ok,
            Some(SocketEnd {
                by: ClosedBy::Provider,
                ..
            }) => Outcome::Error,
            _ => Outcome::Interrupted,
        }
    }

    fn event(&self, duration: Duration) -> UsageEvent {
        let (grant, reading) = (self.grant, self.reading());
        let provider = grant.provider();
        let messages = self.messages.as_deref();
        let sound = messages.map(Messages::reading);
        let end = messages.and_then(|messages| messages.end);
        let cost = rules::estimate(provider, grant.operation(), &reading, self.call.at.date_naive());
        UsageEvent {
            id: self.id,
            at: self.call.at,
            user: grant.caller().user.clone(),
            token_id: grant.caller().token_id,
            provider: provider.id.clone(),
            operation: grant.operation(),
            mode: grant.inbound().mode,
            credential_id: grant.credential().id,
            credential_source: grant.credential().owner.source(),
            status: self.status,
            outcome: self.outcome,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            characters: reading.characters,
            audio_seconds: reading.audio_seconds,
            estimated_cost: cost,
            ttfb_ms: self.first_byte().map(milliseconds),
            duration_ms: milliseconds(duration),
            attempt: self.number,
            request_id: self.call.id,
            model: reading.model,
            provider_request_id: reading.provider_request_id,
            messages_in: messages.map(|messages| messages.from_caller),
            messages_out: messages.map(|messages| messages.from_provider),
            audio_seconds_in: sound.as_ref().and_then(|sound| sound.audio_in),
            audio_seconds_out: sound.as_ref().and_then(|sound| sound.audio_out),
            close_code: end.and_then(|end| end.code),
            closed_by: end.map(|end| end.by),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        let event = self.event(duration);
        self.meters.attempted(&Attempted {
            event: &event,
            method: &self.call.method,
            path: &self.grant.inbound().path,
            ip: self.call.ip,
            code: self.code,
            cause: self.cause.as_deref(),
            duration,
            first_byte: self.first_byte(),
            overhead: self.overhead,
        });
        self.vault.record(RecordEvent::Usage(Box::new(event)));
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Writes down a refusal. Those of strangers share a budget, so that a flood of them cannot fill the
/// audit record; past it they are counted in the metrics alone.
pub fn refused(
    vault: &Vault,
    meters: &Meters,
    budget: &RefusalBudget,
    call: &Call,
    seen: &Seen,
    refusal: &Refusal,
) {
    let provider = seen.provider.as_ref().map(|provider| provider.id.clone());
    let user = seen.caller.as_ref().map(|caller| caller.user.clone());
    meters.refused(&Refused {
        request_id: call.id,
        user: user.as_ref(),
        provider: provider.as_ref(),
        operation: seen.operation,
        mode: seen.mode,
        method: &call.method,
        ip: call.ip,
        refusal,
        duration: call.began.elapsed(),
    });
    if user.is_none() && !budget.take(call.began) {
        return;
    }
    audit_refusal(vault, call, seen, refusal);
}

/// The same, of a call that goes on record as well.
pub fn audit_refusal(vault: &Vault, call: &Call, seen: &Seen, refusal: &Refusal) {
    vault.record(RecordEvent::Audit(Box::new(AuditEvent {
        id: call.id,
        at: call.at,
        user: seen.caller.as_ref().map(|caller| caller.user.clone()),
        action: AuditAction::CallRefuse,
        outcome: AuditOutcome::Refused,
        owner: None,
        provider: seen.provider.as_ref().map(|provider| provider.id.clone()),
        ip: call.ip,
        request_id: call.id,
        detail: Some(detail(refusal)),
    })));
}

/// A message may name what the caller wrote, which is not for the record at any length.
const LONGEST_DETAIL: usize = 500;

fn detail(refusal: &Refusal) -> String {
    let mut detail = format!("{}: {}", refusal.code, refusal.message);
    detail.truncate(detail.floor_char_boundary(LONGEST_DETAIL));
    detail.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_of_a_refusal_is_short_and_holds_no_control_characters() {
        let said = format!("unknown\0field\n{}", "ü".repeat(1000));
        let detail = detail(&Refusal::new(Code::InvalidRequest, said));
        assert!(detail.starts_with("invalid_request: unknown\u{fffd}field\u{fffd}ü"));
        assert!(detail.len() <= LONGEST_DETAIL + 10 && !detail.contains(char::is_control));
    }
}
