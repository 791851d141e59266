//! What a provider's unsuccessful answer, or none at all, is as a problem.

use catalogue::{Answer, Silence, Unlisted};
use policies::descriptor::Provider;
use policies::rules;
use policies::vocabulary::{Code, Verdict};

use crate::problem::Problem;

/// No list of models or voices.
pub fn unlisted(provider: &Provider, unlisted: Unlisted) -> Problem {
    match unlisted {
        Unlisted::Silent(silence) => silent(provider, silence),
        Unlisted::Unreadable(cause) => unreadable(provider, &cause),
        Unlisted::Unasked(cause) => Problem::internal(cause),
        Unlisted::Answered(verdict, answer) => not_valid(provider, verdict, &answer),
    }
}

/// An answer that is not a success, about a key that is stored.
pub fn not_valid(provider: &Provider, verdict: Verdict, answer: &Answer) -> Problem {
    match rules::code_of(verdict) {
        Some(code) if code != Code::ProviderError => {
            let says = rules::explain(provider, verdict, answer.status, &answer.body);
            let retry_after = rules::retry_after(provider, &answer.headers, &answer.body);
            Problem::new(code, says)
                .at_provider(&provider.id)
                .retry_after(retry_after)
        }
        _ => odd(provider, answer),
    }
}

/// An answer that says nothing about the key and is no success either.
pub fn odd(provider: &Provider, answer: &Answer) -> Problem {
    let what = if (300..400).contains(&answer.status) {
        " (a redirect, which is not followed)"
    } else {
        ""
    };
    let detail = format!(
        "{} answered {}{what} where a success was expected",
        provider.name, answer.status
    );
    Problem::new(Code::ProviderError, detail)
}

/// A success that does not read as the provider's.
pub fn unreadable(provider: &Provider, cause: &str) -> Problem {
    let detail = format!("{} answered with something that is not its format", provider.name);
    Problem::new(Code::ProviderError, detail).because(cause)
}

/// No answer, as people are told it.
pub fn silent(provider: &Provider, silence: Silence) -> Problem {
    let (code, what) = match &silence {
        Silence::Timeout => (Code::ProviderTimeout, "did not answer in time"),
        Silence::TooLong => (Code::ProviderError, "answered with more than can be read"),
        Silence::Unresolved(_) => (
            Code::ProviderUnreachable,
            "cannot be reached: its host name does not resolve",
        ),
        Silence::Unreachable(_) => (Code::ProviderUnreachable, "cannot be reached"),
    };
    Problem::new(code, format!("{} {what}", provider.name)).because(silence.to_string())
}
