//! An answer with an error status → what it means, for its key, its origin, and the candidates after it.

use std::time::Instant;

use http::StatusCode;
use policies::descriptor::Provider;
use policies::rules;
use policies::vocabulary::{Code, Owner, Refusal, Verdict};

use super::Unified;
use super::attempts::Unanswered;
use super::breaker::KeyId;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::answer::{Held, Meaning};
use crate::stages::authorise::Grant;
use crate::stages::record::Attempt;
use crate::stages::upstream::{Event, Upstream};

/// A fault, or what the provider's own error answer means.
pub enum Trouble {
    Fault(Fault),
    /// The answer is on record as it came.
    Judged(Unanswered),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::Fault(fault)
    }
}

impl Unified<'_> {
    /// Reads an error answer and says what it means.
    pub(super) async fn judge(
        &mut self,
        permit: &Permit,
        attempt: &mut Attempt<'_>,
        mut upstream: Upstream,
    ) -> Trouble {
        let Some(head) = upstream.head() else {
            return Fault::Garbled("an answer without head".into()).into();
        };
        let status = head.status;
        if status.is_redirection() {
            upstream.abort().await;
            return Fault::LeadsAway.into();
        }
        let mut held = Held::new(Box::new(head.clone()));
        let complete = match self.hold(&mut held, attempt, &mut upstream).await {
            Ok(complete) => complete,
            Err(fault) => {
                upstream.abort().await;
                return fault.into();
            }
        };
        if complete {
            Box::pin(upstream.release_if_finished(self.request.connector)).await;
        } else {
            upstream.abort().await;
        }
        let grant = &permit.grant;
        let (meaning, body) = held.weigh(&self.request.gateway.vault, grant, self.request.actor());
        let (meaning, another) = unexplained(grant.provider(), status, meaning);
        attempt.code = meaning.code;
        self.pause(grant, attempt, &meaning);
        let another = rules::worth_another(meaning.verdict) || another;
        let refusal = refusal(grant.provider(), status.as_u16(), meaning, &body);
        Trouble::Judged(Unanswered::failed(refusal, another))
    }

    /// Lets a key rest that was told to. What a shared key has left for one caller, another may still have, so such a
    /// key rests only where the provider says how long.
    fn pause(&self, grant: &Grant, attempt: &Attempt<'_>, meaning: &Meaning) {
        let (credential, told) = (grant.credential(), meaning.retry_after);
        let is_own = matches!(credential.owner, Owner::User(_));
        let rests = match meaning.verdict {
            Verdict::RateLimited => true,
            Verdict::Quota => is_own || told.is_some(),
            _ => false,
        };
        if let Some(code) = meaning.code.filter(|_| rests) {
            let key = KeyId::new(credential, attempt.model().unwrap_or_default());
            self.request
                .gateway
                .breakers
                .pause(key, code, told, Instant::now());
        }
    }

    /// True when the answer is complete.
    async fn hold(
        &mut self,
        held: &mut Held,
        attempt: &mut Attempt<'_>,
        upstream: &mut Upstream,
    ) -> Result<bool, Fault> {
        let until = held.until();
        while !upstream.is_complete() {
            match self.hear(upstream, until, "reading an error answer").await {
                Ok(Event::Chunk(chunk)) => {
                    attempt.answer_chunk(&chunk);
                    if held.take(chunk) {
                        return Ok(false);
                    }
                }
                Ok(Event::End) => return Ok(true),
                Ok(Event::Head) => {}
                Err(fault @ Fault::CallerLeft(_)) => return Err(fault),
                // What there is of it is judged.
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// What a status says that no rule of the descriptor explains, and whether another candidate may do better. The caller
/// does not hold the key, so that the key's trouble is none that the caller's request could have.
fn unexplained(provider: &Provider, status: StatusCode, meaning: Meaning) -> (Meaning, bool) {
    if meaning.code.is_some() {
        return (meaning, false);
    }
    let name = &provider.name;
    let (code, another, explained) = match status.as_u16() {
        status @ (401 | 402 | 403 | 407) => {
            let explained = format!("{name} does not allow this with the stored key (status {status})");
            (Code::CredentialRestricted, true, explained)
        }
        408 => (
            Code::ProviderTimeout,
            true,
            format!("{name} did not answer in time"),
        ),
        413 => (
            Code::PayloadTooLarge,
            false,
            format!("{name} does not take so much at once"),
        ),
        _ => return (meaning, false),
    };
    let meaning = Meaning {
        code: Some(code),
        explained,
        ..meaning
    };
    (meaning, another)
}

/// The same, for the caller.
fn refusal(provider: &Provider, status: u16, meaning: Meaning, body: &[u8]) -> Refusal {
    let name = &provider.name;
    let refusal = match (meaning.code, rules::said_by(provider, body)) {
        (Some(code), _) => Refusal::new(code, meaning.explained),
        // These words may quote the caller's text, so they go to the caller alone.
        (None, Some(said)) => Refusal::new(
            Code::InvalidRequest,
            format!("{name} refused the request: {said}"),
        ),
        (None, None) => Refusal::new(
            Code::InvalidRequest,
            format!("{name} refused the request with status {status}"),
        ),
    };
    let at_least = refusal.code.retryable().then_some(1);
    Refusal {
        retry_after: meaning.retry_after.or(at_least),
        ..refusal.provider(provider.id.clone())
    }
}
