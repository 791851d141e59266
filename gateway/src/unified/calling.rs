//! A candidate and a translated head → [`Permit`], by the same stages that a native call goes through; and what a call
//! that has ended says about its origin and its key.

use std::time::Instant;

use http::HeaderMap;
use policies::rules::{Route, allow, route, translated};
use policies::unified::{Candidate, TranslatedHead};
use policies::vocabulary::{Code, Refusal};
use tokio::time::Instant as Moment;

use super::Request;
use super::attempts::{Attempts, Patience, Unanswered};
use super::breaker::{KeyId, Open};
use super::judging::Trouble;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::authorise::{authorise, choose};
use crate::stages::record::Attempt;

impl<'a> Request<'a> {
    /// `only`: no other candidate is left.
    pub(super) async fn permit(
        &mut self,
        candidate: &Candidate,
        head: &TranslatedHead,
        only: bool,
    ) -> Result<Permit, Unanswered> {
        let id = &candidate.provider.id;
        self.marks.resolved(id, None);
        self.marks.model(&candidate.model);
        let named = |refusal: Refusal| refusal.provider(id.clone());
        fits(candidate, head).map_err(named)?;
        let inbound = translated(&candidate.provider, head).map_err(named)?;
        let route = route(&inbound, &head.method).map_err(named)?;
        self.may_do(&route).map_err(named)?;
        let gateway = self.gateway;
        let (caller, vault, app) = (self.caller.clone(), &gateway.vault, &gateway.app);
        let grant = authorise(caller, inbound, route, vault, app)
            .await
            .map_err(|stop| without_key(stop.refusal))?;
        let key = KeyId::new(grant.credential(), &candidate.model);
        let checked = gateway.breakers.check(grant.origin(), &key, only, Instant::now());
        let leave = checked.map_err(|open| {
            gateway.meters.upstream_error(id, "open");
            spared(candidate, open)
        })?;
        self.marks.resolved(id, Some(grant.credential().owner.source()));
        Ok(Permit::within(&self.place, grant, leave))
    }

    /// A provider's list of endpoints decides what a call is, whatever its template is called.
    fn may_do(&self, route: &Route) -> Result<(), Refusal> {
        let operation = route.endpoint().operation;
        allow(&self.caller, operation)?;
        if operation == self.operation {
            return Ok(());
        }
        let name = &route.provider.name;
        Err(Refusal::new(
            Code::ForbiddenEndpoint,
            format!("this call to {name} would not be for {}", self.operation),
        ))
    }

    /// Begins the record of a call. The first of a candidate counts it as tried.
    pub(super) fn record<'p>(
        &mut self,
        permit: &'p Permit,
        candidate: &'p Candidate,
        headers: &HeaderMap,
        first: bool,
    ) -> Attempt<'p>
    where
        'a: 'p,
    {
        self.marks.attempts += u16::from(first);
        let number = self.marks.attempts;
        let gateway = self.gateway;
        let attempt = Attempt::begin(&gateway.vault, &gateway.meters, self.call, &permit.grant, headers)
            .numbered(number, &candidate.model);
        if first && number == 1 {
            attempt.first(self.waited)
        } else {
            attempt
        }
    }

    /// Ends the record of a call.
    pub(super) fn ended<T>(
        &self,
        attempt: Attempt<'_>,
        permit: &Permit,
        result: Result<T, Trouble>,
    ) -> Result<T, Unanswered> {
        match result {
            Ok(value) => {
                attempt.end(Ok(()));
                Ok(value)
            }
            Err(Trouble::Judged(unanswered)) => {
                attempt.end(Ok(()));
                Err(unanswered)
            }
            Err(Trouble::Fault(fault)) => {
                attempt.end(Err(&fault));
                Err(Unanswered::fault(&fault, permit.grant.provider()))
            }
        }
    }

    /// Remembers what an exchange that ended before an answer says about the origin.
    pub(super) fn note_fault(&self, permit: &Permit, fault: &Fault) {
        let code = match fault {
            Fault::Unreachable(_) | Fault::Lost(_) => Code::ProviderUnreachable,
            Fault::TimedOut(_) => Code::ProviderTimeout,
            _ => return,
        };
        self.gateway
            .breakers
            .failed(permit.grant.origin(), code, Instant::now());
    }

    pub(super) fn note_answer(&self, permit: &Permit, status: u16) {
        let (breakers, origin) = (&self.gateway.breakers, permit.grant.origin());
        match status {
            408 => breakers.failed(origin, Code::ProviderTimeout, Instant::now()),
            500.. => breakers.failed(origin, Code::ProviderError, Instant::now()),
            _ => breakers.answered(origin),
        }
    }

    /// The end of all attempts together; one that is all there is has its provider's limits only.
    pub(super) fn attempts_end(&self, candidates: usize) -> Option<Moment> {
        (candidates > 1).then(|| Moment::now() + self.gateway.limits.attempts_time)
    }

    pub(super) fn patience<'c>(&self, end: Option<Moment>, others: &'c [Candidate]) -> Patience<'c> {
        Patience::new(end, self.gateway.limits.fallback_after, others)
    }

    /// Whether one of these has a key to be called with.
    pub(super) async fn any_has_key(&self, candidates: &[Candidate]) -> bool {
        let (vault, app) = (&self.gateway.vault, &self.gateway.app);
        for candidate in candidates {
            let found = choose(&self.caller, &candidate.provider.id, vault, app).await;
            if matches!(found, Ok(Some(_))) {
                return true;
            }
        }
        false
    }

    /// Whether the next candidate is tried; if not, why not.
    pub(super) fn goes_on(
        &self,
        attempts: &mut Attempts,
        unanswered: Unanswered,
        end: Option<Moment>,
    ) -> Result<(), Unanswered> {
        attempts.failed(unanswered)?;
        if end.is_none_or(|end| Moment::now() < end) {
            return Ok(());
        }
        Err(std::mem::take(attempts).exhausted())
    }
}

/// A key that is not there, or cannot be used, does not keep the next candidate from being tried.
fn without_key(refusal: Refusal) -> Unanswered {
    let another = matches!(refusal.code, Code::CredentialMissing | Code::CredentialInvalid);
    Unanswered::failed(refusal, another)
}

fn spared(candidate: &Candidate, open: Open) -> Unanswered {
    let name = &candidate.provider.name;
    let message = match open.code {
        Code::ProviderRateLimited => format!("{name} asks for fewer calls"),
        Code::ProviderQuotaExceeded => format!("the {name} account behind this key has nothing left"),
        Code::ProviderTimeout => format!("{name} has not answered in time lately"),
        Code::ProviderUnreachable => format!("{name} could not be reached lately"),
        _ => format!("{name} has failed lately"),
    };
    let refusal = Refusal {
        retry_after: open.seconds,
        ..Refusal::new(open.code, message)
            .because("the call was spared")
            .provider(candidate.provider.id.clone())
    };
    Unanswered::failed(refusal, true)
}

/// The longest path and query, so that the provider's own base path and a key in the query still fit into what an HTTP
/// head may say.
const LONGEST_TARGET: usize = 60_000;

fn fits(candidate: &Candidate, head: &TranslatedHead) -> Result<(), Refusal> {
    let query = head.query.as_ref().map_or(0, String::len);
    if head.path.len() + query <= LONGEST_TARGET {
        return Ok(());
    }
    let name = &candidate.provider.name;
    Err(Refusal::new(
        Code::InvalidRequest,
        format!("{name} is told a part of this request in the address, which has no room for so much"),
    ))
}
