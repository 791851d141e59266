//! Whether a key works, asked of its provider with the same rewriting as live traffic.
//!
//! | the provider says | a new key | a stored key |
//! |---|---|---|
//! | valid | stored | valid |
//! | restricted | stored with `credential_restricted`; refused when nothing offered here works with it | valid, with the reason |
//! | quota used up | stored with `provider_quota_exceeded` | valid, with the reason |
//! | blocked: it does not want this gateway's address or country | refused as `insufficient_permissions`: from here nothing would work | valid, `credential_restricted` |
//! | invalid | refused as `invalid_api_key` | invalid |
//! | wait, an error, nothing at all | refused, nothing is known | unchanged |

use std::time::Duration;

use policies::descriptor::{Hosts, Model, Provider, Settings};
use policies::rewrite::{self, Question};
use policies::rules;
use policies::vocabulary::{
    Actor, AuditAction, AuditEvent, AuditOutcome, Code, CredentialStatus, Owner, Verdict,
};
use tokio::time::Instant;
use vault::{Credential, CredentialRow, Secret};

use crate::Admin;
use crate::ask::{Answer, Silence};
use crate::lists;
use crate::problem::Problem;
use crate::telemetry::Validated;
use crate::trouble;

/// For everything that one call asks of a provider, so that its own answer comes within ten.
const ASK_WITHIN: Duration = Duration::from_secs(8);
/// For the list of models that goes with a proven key; the descriptor's list is good enough after that.
const MODELS_WITHIN: Duration = Duration::from_secs(3);
/// When the provider says "wait" without saying how long.
const RETRY_DEFAULT: u32 = 30;

/// A key that wants to be stored.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    pub provider: &'a Provider,
    pub owner: &'a Owner,
    pub settings: &'a Settings,
    pub hosts: &'a Hosts,
    pub secret: &'a Secret,
}

/// The key is real and may be stored, with what there is to say about it.
pub struct Proof {
    pub reason: Option<Code>,
    pub detail: Option<String>,
    pub models: Vec<Model>,
}

struct Judged {
    verdict: Verdict,
    /// Nothing offered here works with such a key.
    stops_everything: bool,
    says: String,
    retry_after: Option<u32>,
    models: Option<Vec<Model>>,
}

/// Until when a call that begins now may ask providers.
pub fn ask_deadline() -> Instant {
    Instant::now() + ASK_WITHIN
}

/// Proves a new key, or says why it is not stored; a refusal is on record before it is answered.
pub async fn admit(admin: &Admin, by: &Actor, candidate: Candidate<'_>) -> Result<Proof, Problem> {
    let deadline = ask_deadline();
    let judged = judge(admin, by, candidate, deadline).await;
    let admitted = judged.and_then(|judged| {
        let (reason, detail) = admissible(candidate.provider, &judged)?;
        Ok((reason, detail, judged.models))
    });
    match admitted {
        Ok((reason, detail, Some(models))) => Ok(Proof {
            reason,
            detail,
            models,
        }),
        Ok((reason, detail, None)) => {
            let deadline = deadline.min(Instant::now() + MODELS_WITHIN);
            let Candidate {
                provider,
                hosts,
                secret,
                ..
            } = candidate;
            let models = lists::ask_models(admin, provider, hosts, secret, deadline).await;
            Ok(Proof {
                reason,
                detail,
                models: models.unwrap_or_else(|_| provider.models.fixed.clone()),
            })
        }
        Err(problem) => {
            audit_refused(admin, by, candidate.provider, candidate.owner, &problem).await?;
            Err(problem)
        }
    }
}

/// Asks about a stored key and keeps the verdict. `None`: it was replaced or removed meanwhile.
pub async fn again(
    admin: &Admin,
    by: &Actor,
    provider: &Provider,
    credential: &Credential,
) -> Result<Option<CredentialRow>, Problem> {
    let Some(id) = credential.id else {
        return Err(Problem::internal(
            "a system-level key was about to be validated as a stored one",
        ));
    };
    let Credential {
        owner,
        settings,
        hosts,
        secret,
        version,
        ..
    } = credential;
    let candidate = Candidate {
        provider,
        owner,
        settings,
        hosts,
        secret,
    };
    let standing = match judge(admin, by, candidate, ask_deadline()).await {
        Ok(judged) => standing(provider, judged),
        Err(problem) => Err(problem),
    };
    match standing {
        Ok((status, reason, detail)) => {
            let action = AuditAction::CredentialValidate;
            Ok(admin
                .vault
                .set_credential_status(by, id, *version, status, reason, detail, action)
                .await?)
        }
        Err(problem) => {
            audit_refused(admin, by, provider, owner, &problem).await?;
            Err(problem)
        }
    }
}

fn admissible(provider: &Provider, judged: &Judged) -> Result<(Option<Code>, Option<String>), Problem> {
    let says = judged.says.clone();
    match judged.verdict {
        Verdict::Valid => Ok((None, None)),
        Verdict::Restricted if !judged.stops_everything => Ok((Some(Code::CredentialRestricted), Some(says))),
        Verdict::Quota => Ok((Some(Code::ProviderQuotaExceeded), Some(says))),
        Verdict::Restricted | Verdict::Blocked => Err(Problem::new(Code::InsufficientPermissions, says)),
        Verdict::Invalid => Err(Problem::new(Code::InvalidApiKey, says)),
        Verdict::RateLimited => Err(wait(provider, judged)),
        Verdict::Caller | Verdict::Unavailable => Err(Problem::new(Code::ProviderError, says)),
    }
}

fn standing(
    provider: &Provider,
    judged: Judged,
) -> Result<(CredentialStatus, Option<Code>, Option<String>), Problem> {
    match judged.verdict {
        Verdict::Valid => Ok((CredentialStatus::Valid, None, None)),
        Verdict::Invalid => Ok((
            CredentialStatus::Invalid,
            Some(Code::CredentialInvalid),
            Some(judged.says),
        )),
        Verdict::Restricted | Verdict::Blocked | Verdict::Quota => Ok((
            CredentialStatus::Valid,
            rules::code_of(judged.verdict),
            Some(judged.says),
        )),
        Verdict::RateLimited => Err(wait(provider, &judged)),
        Verdict::Caller | Verdict::Unavailable => Err(Problem::new(Code::ProviderError, judged.says)),
    }
}

fn wait(provider: &Provider, judged: &Judged) -> Problem {
    let detail = format!("{} asks to wait before the key is tried again", provider.name);
    Problem::new(Code::ProviderRateLimited, detail).retry_after(judged.retry_after.or(Some(RETRY_DEFAULT)))
}

/// Puts the key to the provider, counted and logged once.
async fn judge(
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
        let problem = match admin.asker.ask(call, deadline).await {
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

/// A host that does not resolve is the fault of the setting it was made from, where there is one.
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
    let mut given = provider
        .settings
        .iter()
        .filter(|setting| settings.contains_key(&setting.name));
    given
        .find(|setting| takes_part(&setting.name))
        .map(|setting| setting.name.as_str())
}

async fn audit_refused(
    admin: &Admin,
    by: &Actor,
    provider: &Provider,
    owner: &Owner,
    problem: &Problem,
) -> Result<(), Problem> {
    let outcome = match problem.code {
        Code::InvalidApiKey | Code::InsufficientPermissions | Code::InvalidSettings => AuditOutcome::Refused,
        _ => AuditOutcome::Failed,
    };
    let event = AuditEvent {
        owner: Some(owner.to_string()),
        provider: Some(provider.id.clone()),
        detail: Some(format!("{}: {}", problem.code, problem.detail)),
        ..admin.audit_event(by, AuditAction::CredentialValidate, outcome)
    };
    Ok(admin.vault.audit(event).await?)
}
