//! The question itself: the descriptor's probes, put to the provider with one key.

use catalogue::{Answer, Silence};
use policies::descriptor::{Model, Provider, Setting, Settings, Shape};
use policies::rewrite::{self, Question};
use policies::rules;
use policies::vocabulary::{Actor, Code, Verdict};
use tokio::time::Instant;

use super::Candidate;
use crate::Admin;
use crate::problem::Problem;
use crate::telemetry::Validated;
use crate::trouble;

/// What the provider says of a key, and what to tell people.
pub struct Judged {
    pub verdict: Verdict,
    /// Nothing offered here works with such a key.
    pub stops_everything: bool,
    pub says: String,
    pub retry_after: Option<u32>,
    pub models: Option<Vec<Model>>,
}

/// Puts the key to the provider, counted and logged once.
pub async fn judge(
    admin: &Admin,
    by: &Actor,
    candidate: Candidate<'_>,
    deadline: Instant,
) -> Result<Judged, Problem> {
    let started = Instant::now();
    let judged = probe(admin, candidate, deadline).await;
    let (outcome, cause) = match &judged {
        Ok(judged) => (judged.verdict.as_str(), None),
        Err(problem) => (problem.code.as_str(), problem.cause.as_deref()),
    };
    Validated {
        request_id: by.request_id,
        provider: &candidate.provider.id,
        outcome,
        cause,
        duration: started.elapsed(),
    }
    .record(&admin.telemetry);
    judged
}

/// The descriptor's probes in their order. The first answer that says something about the key decides; when
/// none does, the first failure is what there is to tell.
async fn probe(admin: &Admin, candidate: Candidate<'_>, deadline: Instant) -> Result<Judged, Problem> {
    let Candidate {
        provider,
        hosts,
        secret,
        ..
    } = candidate;
    let mut failure = None;
    for (number, _) in provider.probes.iter().enumerate() {
        let call = rewrite::ask(provider, hosts, Question::Probe(number), secret.expose())
            .map_err(|error| Problem::internal(error.to_string()))?
            .ok_or_else(|| Problem::internal(format!("probe {number} of {} is no call", provider.id)))?;
        let problem = match admin.catalogue.asker().ask(call, deadline).await {
            Ok(answer) => match rules::judge(provider, answer.status, &answer.body) {
                Verdict::Caller | Verdict::Unavailable => trouble::odd(provider, &answer),
                verdict => return judged(provider, number, verdict, &answer),
            },
            Err(silence) => unheard(candidate, number, silence),
        };
        failure.get_or_insert(problem);
    }
    Err(failure.unwrap_or_else(|| Problem::internal(format!("{} has no probe", provider.id))))
}

fn judged(provider: &Provider, number: usize, verdict: Verdict, answer: &Answer) -> Result<Judged, Problem> {
    let listed = verdict == Verdict::Valid && provider.probe_lists_models(number);
    let models = match listed.then(|| rewrite::read_models(provider, &answer.body, None)) {
        // A page of HTML with status 200 is some box in between, not the provider.
        Some(Err(error)) => return Err(trouble::unreadable(provider, &error.to_string())),
        Some(Ok(page)) => Some(page.items),
        None => None,
    };
    Ok(Judged {
        verdict,
        stops_everything: rules::stops_everything(provider, answer.status, &answer.body),
        says: rules::explain(provider, verdict, answer.status, &answer.body),
        retry_after: rules::retry_after(provider, &answer.headers, &answer.body),
        models,
    })
}

/// A host that does not resolve is the fault of the setting it was made from, unless the descriptor
/// or the operator knows that value: then name resolution itself has failed.
fn unheard(candidate: Candidate<'_>, probe: usize, silence: Silence) -> Problem {
    let Candidate {
        provider, settings, ..
    } = candidate;
    if let (Silence::Unresolved(cause), Some(setting)) =
        (&silence, setting_of_host(provider, settings, probe))
    {
        let detail = format!(
            "`{setting}` leads to a host of {} that does not resolve; check how it is spelled",
            provider.name
        );
        return Problem::new(Code::InvalidSettings, detail)
            .param(setting)
            .because(cause);
    }
    trouble::silent(provider, silence)
}

fn setting_of_host<'a>(provider: &'a Provider, settings: &Settings, probe: usize) -> Option<&'a str> {
    let host = provider.hosts.get(&provider.probes.get(probe)?.host)?;
    let takes_part = |name: &str| {
        host.url.holes().any(|hole| hole == name)
            || host.variants.iter().any(|variant| {
                variant.when.contains_key(name) || variant.url.holes().any(|hole| hole == name)
            })
    };
    let known = |setting: &Setting, value: &String| {
        !matches!(setting.shape, Shape::Label { .. }) || setting.known.contains(value)
    };
    let doubtful = |setting: &&Setting| {
        settings
            .get(&setting.name)
            .is_some_and(|value| !known(setting, value))
            && takes_part(&setting.name)
    };
    provider
        .settings
        .iter()
        .find(doubtful)
        .map(|setting| setting.name.as_str())
}
