//! The stages of a request, each in a file: earlier values in, a new one out.
//!
//! `recognise` → [`Inbound`], `authenticate` → [`Caller`], `route` → `Route`, `authorise` → [`Grant`],
//! `admit` → [`Permit`]: these five decide. `prepare` makes the upstream request, `relay` runs the exchange,
//! `record` writes down what came of it. What stops a request is a [`Stop`] or, once a provider is
//! involved, a [`Fault`].
//!
//! [`Inbound`]: policies::rules::Inbound
//! [`Grant`]: authorise::Grant
//! [`Permit`]: admit::Permit

pub mod admit;
pub mod answer;
pub mod authenticate;
pub mod authorise;
pub mod prepare;
pub mod recognise;
pub mod record;
pub mod relay;
pub mod route;
pub mod upstream;

use std::sync::Arc;

use policies::descriptor::Provider;
use policies::rules::Inbound;
use policies::vocabulary::{Caller, Code, Dialect, Mode, Operation, Refusal};

/// A refusal before anything went upstream, with what was known by then.
#[derive(Debug)]
pub struct Stop {
    pub refusal: Refusal,
    pub seen: Seen,
}

/// As much of a request as the stages before the stop had made out.
#[derive(Clone, Debug)]
pub struct Seen {
    pub mode: Mode,
    pub dialect: Dialect,
    pub provider: Option<Arc<Provider>>,
    pub caller: Option<Arc<Caller>>,
    pub operation: Option<Operation>,
}

impl Seen {
    pub fn nothing(dialect: Dialect) -> Self {
        Self {
            mode: Mode::Native,
            dialect,
            provider: None,
            caller: None,
            operation: None,
        }
    }

    /// A request under `/v1`, of which no provider is known yet.
    pub fn unified() -> Self {
        Self {
            mode: Mode::Unified,
            ..Self::nothing(Dialect::OpenAi)
        }
    }

    pub fn inbound(inbound: &Inbound) -> Self {
        Self {
            mode: inbound.mode,
            provider: Some(inbound.provider.clone()),
            ..Self::nothing(inbound.dialect)
        }
    }

    pub fn by(self, caller: &Arc<Caller>) -> Self {
        Self {
            caller: Some(caller.clone()),
            ..self
        }
    }

    pub fn doing(self, operation: Operation) -> Self {
        Self {
            operation: Some(operation),
            ..self
        }
    }

    pub fn stop(self, refusal: Refusal) -> Stop {
        Stop { refusal, seen: self }
    }
}

/// What ended an exchange that had begun. Texts are for the log.
#[derive(Debug)]
pub enum Fault {
    /// The provider's name, address or TLS could not be reached.
    Unreachable(String),
    /// The connection ended before an answer.
    Lost(String),
    TimedOut(&'static str),
    /// The provider still had time of its own, but others, or the caller, have waited long enough.
    GivenUp(&'static str),
    /// The answer makes no sense as HTTP.
    Garbled(String),
    /// The answer would lead the caller past the gateway.
    LeadsAway,
    /// The provider's answer broke off after its head had been passed on.
    Broken(String),
    CallerLeft(String),
    /// The caller's doing, noticed only while its body arrived.
    Refused(Refusal),
    Internal(String),
}

impl Fault {
    /// The answer for the caller, when its head has not been written yet. `None`: nobody is there.
    pub fn refusal(&self, provider: &Provider) -> Option<Refusal> {
        let name = &provider.name;
        let (code, message) = match self {
            Fault::CallerLeft(_) => return None,
            Fault::Refused(refusal) => return Some(refusal.clone()),
            Fault::Unreachable(_) => (Code::ProviderUnreachable, format!("{name} cannot be reached")),
            Fault::Lost(_) => (
                Code::ProviderUnreachable,
                format!("{name} closed the connection unanswered"),
            ),
            Fault::TimedOut(_) | Fault::GivenUp(_) => {
                (Code::ProviderTimeout, format!("{name} did not answer in time"))
            }
            Fault::Garbled(_) | Fault::Broken(_) => (
                Code::ProviderError,
                format!("{name} gave an answer that is not usable"),
            ),
            Fault::LeadsAway => (
                Code::ProviderError,
                format!("{name} answered with a redirect, which is not followed"),
            ),
            Fault::Internal(_) => (
                Code::Internal,
                "the gateway failed; the request id finds why".into(),
            ),
        };
        let refusal = Refusal::new(code, message).because(self.cause());
        Some(if code.retryable() {
            refusal.retry_after(1)
        } else {
            refusal
        })
    }

    /// The same, where a part of the answer has gone down already.
    pub fn in_mid_answer(self) -> Self {
        match self {
            Fault::CallerLeft(_) | Fault::Refused(_) | Fault::Internal(_) => self,
            other => Fault::Broken(other.cause().to_owned()),
        }
    }

    /// A closed set of words for metrics; `None` when the provider is not at fault.
    pub fn kind(&self) -> Option<&'static str> {
        match self {
            Fault::Unreachable(_) => Some("unreachable"),
            Fault::Lost(_) => Some("lost"),
            Fault::TimedOut(_) | Fault::GivenUp(_) => Some("timeout"),
            Fault::Garbled(_) => Some("garbled"),
            Fault::LeadsAway => Some("redirect"),
            Fault::Broken(_) => Some("broken"),
            Fault::CallerLeft(_) | Fault::Refused(_) | Fault::Internal(_) => None,
        }
    }

    pub fn cause(&self) -> &str {
        match self {
            Fault::Unreachable(why)
            | Fault::Lost(why)
            | Fault::Garbled(why)
            | Fault::Broken(why)
            | Fault::CallerLeft(why)
            | Fault::Internal(why) => why,
            Fault::TimedOut(waiting) | Fault::GivenUp(waiting) => waiting,
            Fault::LeadsAway => "an answer header leads to another host",
            Fault::Refused(refusal) => &refusal.message,
        }
    }
}
