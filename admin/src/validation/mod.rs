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

mod probe;

use std::time::Duration;

use catalogue::deadline;
use policies::descriptor::{Hosts, Model, Provider, Settings};
use policies::rules;
use policies::vocabulary::{
    Actor, AuditAction, AuditEvent, AuditOutcome, Code, CredentialStatus, Owner, Verdict,
};
use tokio::time::Instant;
use vault::{Credential, CredentialRow, Secret};

use crate::Admin;
use crate::problem::Problem;
use probe::{Judged, judge};

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

/// Proves a new key, or says why it is not stored; a refusal is on record before it is answered.
pub async fn admit(admin: &Admin, by: &Actor, candidate: Candidate<'_>) -> Result<Proof, Problem> {
    let deadline = deadline();
    let judged = judge(admin, by, candidate, deadline).await;
    let admitted = judged.and_then(|judged| {
        let (reason, detail) = admissible(candidate.provider, &judged)?;
        Ok((reason, detail, judged.models))
    });
    match admitted {
        Ok((reason, detail, listed)) => {
            let models = match listed {
                Some(models) => models,
                None => models(admin, candidate, reason, deadline).await,
            };
            Ok(Proof {
                reason,
                detail,
                models,
            })
        }
        Err(problem) => {
            audit_refused(admin, by, candidate.provider, candidate.owner, &problem).await?;
            Err(problem)
        }
    }
}

/// The models that go with a proven key: live if the provider lists them soon, else those of the descriptor.
async fn models(
    admin: &Admin,
    candidate: Candidate<'_>,
    reason: Option<Code>,
    deadline: Instant,
) -> Vec<Model> {
    let Candidate {
        provider,
        hosts,
        secret,
        ..
    } = candidate;
    let known = || provider.models.fixed.clone();
    if reason.is_some() {
        return known();
    }
    let deadline = deadline.min(Instant::now() + MODELS_WITHIN);
    let live = admin
        .catalogue
        .ask_models(provider, hosts, secret, deadline)
        .await;
    live.unwrap_or_else(|_| known())
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
    let standing = match judge(admin, by, candidate, deadline()).await {
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
