//! What a candidate's failure means: for the caller, and for the candidates after it.

use std::time::Duration;

use policies::descriptor::Provider;
use policies::unified::Candidate;
use policies::vocabulary::{Code, Refusal};
use tokio::time::{Instant, timeout_at};

use crate::stages::Fault;

/// Why a request has no answer yet.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody is there to be told.
    CallerLeft,
    /// Whoever would serve it, it would be refused.
    Refused(Refusal),
    /// One candidate could not serve it.
    Failed(Failure),
}

#[derive(Debug)]
pub struct Failure {
    pub refusal: Refusal,
    /// Whether another candidate may do better.
    pub another: bool,
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Unanswered::Refused(refusal)
    }
}

impl Unanswered {
    /// An exchange with `provider` that ended in a fault.
    pub fn fault(fault: &Fault, provider: &Provider) -> Self {
        let another = match fault {
            Fault::Unreachable(_)
            | Fault::Lost(_)
            | Fault::TimedOut(_)
            | Fault::GivenUp(_)
            | Fault::Garbled(_)
            | Fault::LeadsAway
            | Fault::Broken(_) => true,
            Fault::CallerLeft(_) | Fault::Refused(_) | Fault::Internal(_) => false,
        };
        match fault.refusal(provider) {
            None => Unanswered::CallerLeft,
            Some(refusal) => Unanswered::Failed(Failure {
                refusal: refusal.provider(provider.id.clone()),
                another,
            }),
        }
    }

    pub fn failed(refusal: Refusal, another: bool) -> Self {
        Unanswered::Failed(Failure { refusal, another })
    }
}

/// The candidates that have failed so far.
#[derive(Debug, Default)]
pub struct Attempts {
    told: Option<Failure>,
}

impl Attempts {
    /// Goes on where another candidate may do better. The caller is told of the last failure, and of a missing key
    /// only where nothing else has happened.
    pub fn failed(&mut self, unanswered: Unanswered) -> Result<(), Unanswered> {
        let failure = match unanswered {
            Unanswered::Failed(failure) if failure.another => failure,
            other => return Err(other),
        };
        if self.told.is_none() || failure.refusal.code != Code::CredentialMissing {
            self.told = Some(failure);
        }
        Ok(())
    }

    /// No candidate is left.
    pub fn exhausted(self) -> Unanswered {
        match self.told {
            Some(failure) => Unanswered::Failed(failure),
            None => Refusal::new(Code::SelectionMissing, "there is nothing to call with").into(),
        }
    }
}

/// How long a candidate is waited for.
pub struct Patience<'a> {
    /// All candidates together, as long as there is a choice among them.
    end: Option<Instant>,
    /// As long as another one may do better.
    fallback: Duration,
    others: &'a [Candidate],
    until: Option<Instant>,
}

impl<'a> Patience<'a> {
    /// `end`: none where one candidate is all there is.
    pub fn new(end: Option<Instant>, fallback: Duration, others: &'a [Candidate]) -> Self {
        Self {
            end,
            fallback,
            others,
            until: None,
        }
    }

    /// The request is on its way: `more` for what the provider has to read.
    pub fn begin(&mut self, more: Duration) {
        self.until = (!self.others.is_empty()).then(|| Instant::now() + self.fallback + more);
    }

    pub fn others(&self) -> &'a [Candidate] {
        self.others
    }

    /// The end of a wait that `limit` would end by itself.
    pub fn cut(&self, limit: Instant) -> Instant {
        [self.end, self.until]
            .into_iter()
            .flatten()
            .fold(limit, Instant::min)
    }

    /// What `opening` gives, unless all attempts have had their time.
    pub async fn bound<T>(&self, opening: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let Some(end) = self.end else {
            return opening.await;
        };
        timeout_at(end, opening)
            .await
            .unwrap_or(Err(Fault::GivenUp("connecting")))
    }

    /// Whether it is for another candidate's sake that this wait is over.
    pub fn is_for_others(&self) -> bool {
        let now = Instant::now();
        self.until.is_some_and(|until| until <= now) && self.end.is_none_or(|end| now < end)
    }

    /// No other can be called after all.
    pub fn wait_on(&mut self) {
        (self.others, self.until) = (&[], None);
    }

    /// The caller hears this candidate, so that nobody else's time is at stake any more.
    pub fn settle(&mut self) {
        self.wait_on();
        self.end = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_but_the_providers_limit_ends_a_wait_once_the_caller_hears_it() {
        let now = Instant::now();
        let limit = now + Duration::from_secs(60);
        let mut patience = Patience::new(Some(now), Duration::ZERO, &[]);
        assert_eq!(patience.cut(limit), now);
        let never = std::future::pending::<Result<(), Fault>>();
        assert!(matches!(patience.bound(never).await, Err(Fault::GivenUp(_))));
        patience.settle();
        assert_eq!(patience.cut(limit), limit);
        assert!(patience.bound(async { Ok(()) }).await.is_ok());
    }

    #[test]
    fn a_missing_key_is_told_of_only_where_nothing_else_has_happened() {
        let failed = |code| Unanswered::failed(Refusal::new(code, ""), true);
        let mut attempts = Attempts::default();
        for code in [
            Code::CredentialMissing,
            Code::ProviderTimeout,
            Code::CredentialMissing,
        ] {
            assert!(attempts.failed(failed(code)).is_ok());
        }
        let Unanswered::Failed(told) = attempts.exhausted() else {
            panic!("nothing failed");
        };
        assert_eq!(told.refusal.code, Code::ProviderTimeout);
    }
}
