//! What a provider offers to one credential: models and voices, live, kept for a few minutes.
//!
//! A list belongs to the credential and its version: a replaced key never shows what the old one could see.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::future::Cache;
use policies::descriptor::{Hosts, Model, Provider, Voice};
use policies::rewrite::{self, Page, Question};
use policies::rules;
use policies::vocabulary::{Actor, Code, CredentialId, CredentialStatus, ProviderId, Verdict};
use tokio::time::Instant;
use vault::{Credential, Secret};

use crate::Admin;
use crate::ask::{Answer, Silence};
use crate::problem::Problem;
use crate::validation::ask_deadline;

const KEPT: Duration = Duration::from_secs(300);
/// In items over all lists: some 20 MiB.
const ITEMS_MAX: u64 = 50_000;
/// A provider that always names a next page is not asked for ever.
const PAGES_MAX: usize = 10;

/// The credential that a list was made with.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Seen {
    provider: ProviderId,
    credential: Option<CredentialId>,
    version: i64,
}

impl From<&Credential> for Seen {
    fn from(credential: &Credential) -> Self {
        Self {
            provider: credential.provider.clone(),
            credential: credential.id,
            version: credential.version,
        }
    }
}

/// Which voices: as the provider searches, one page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Search {
    pub q: Option<String>,
    pub language: Option<String>,
    pub cursor: Option<String>,
}

pub struct Lists {
    models: Cache<Seen, Arc<Vec<Model>>>,
    voices: Cache<(Seen, Search), Arc<Page<Voice>>>,
}

impl Lists {
    pub fn new() -> Self {
        let weight = |items: usize| u32::try_from(items + 1).unwrap_or(u32::MAX);
        Self {
            models: Cache::builder()
                .time_to_live(KEPT)
                .max_capacity(ITEMS_MAX)
                .weigher(move |_, models: &Arc<Vec<Model>>| weight(models.len()))
                .build(),
            voices: Cache::builder()
                .time_to_live(KEPT)
                .max_capacity(ITEMS_MAX)
                .weigher(move |_, voices: &Arc<Page<Voice>>| weight(voices.items.len()))
                .build(),
        }
    }
}

/// All models that the credential may use. However many ask at once, the provider is asked once.
pub async fn models(
    admin: &Admin,
    by: &Actor,
    provider: &Provider,
    credential: &Credential,
) -> Result<Arc<Vec<Model>>, Problem> {
    let Credential { hosts, secret, .. } = credential;
    let asking = async {
        match ask_models(admin, provider, hosts, secret, ask_deadline()).await {
            Ok(models) => Ok(Arc::new(models)),
            Err(Unlisted::Silent(problem)) => Err(problem),
            // A key may speak without being allowed to list; what the descriptor knows still holds.
            Err(Unlisted::Answered(Verdict::Restricted, _)) if !provider.models.fixed.is_empty() => {
                Ok(Arc::new(provider.models.fixed.clone()))
            }
            Err(Unlisted::Answered(verdict, answer)) => {
                Err(refused(admin, by, provider, credential, verdict, &answer))
            }
        }
    };
    let kept = admin.lists.models.try_get_with(credential.into(), asking).await;
    kept.map_err(|problem: Arc<Problem>| (*problem).clone())
}

/// One page of voices, as the provider pages them.
pub async fn voices(
    admin: &Admin,
    by: &Actor,
    provider: &Provider,
    credential: &Credential,
    search: Search,
) -> Result<Arc<Page<Voice>>, Problem> {
    let Credential { hosts, secret, .. } = credential;
    let asked = search.clone();
    let asking = async move {
        let (q, language) = (asked.q.as_deref(), asked.language.as_deref());
        let question = Question::Voices {
            q,
            language,
            page: asked.cursor.as_deref(),
        };
        let answer = match ask_valid(admin, provider, hosts, secret, question, ask_deadline()).await {
            Ok(answer) => answer,
            Err(Unlisted::Silent(problem)) => return Err(problem),
            Err(Unlisted::Answered(verdict, answer)) => {
                return Err(refused(admin, by, provider, credential, verdict, &answer));
            }
        };
        let page = rewrite::read_voices(provider, answer.as_deref(), q, language);
        page.map(Arc::new)
            .map_err(|error| unreadable(provider, &error.to_string()))
    };
    let kept = admin
        .lists
        .voices
        .try_get_with((credential.into(), search), asking)
        .await;
    kept.map_err(|problem: Arc<Problem>| (*problem).clone())
}

/// Why there is no list.
pub enum Unlisted {
    Silent(Problem),
    Answered(Verdict, Box<Answer>),
}

/// Every page of the provider's list, or the descriptor's own where the provider has none.
pub async fn ask_models(
    admin: &Admin,
    provider: &Provider,
    hosts: &Hosts,
    secret: &Secret,
    deadline: Instant,
) -> Result<Vec<Model>, Unlisted> {
    let mut models: Vec<Model> = Vec::new();
    let mut page = None;
    for _ in 0..PAGES_MAX {
        let question = Question::Models {
            page: page.as_deref(),
        };
        let Some(answer) = ask_valid(admin, provider, hosts, secret, question, deadline).await? else {
            return Ok(provider.models.fixed.clone());
        };
        let read = rewrite::read_models(provider, &answer, None)
            .map_err(|error| Unlisted::Silent(unreadable(provider, &error.to_string())))?;
        // Each page has the descriptor's own models merged in.
        for model in read.items {
            if !models.iter().any(|known| known.id == model.id) {
                models.push(model);
            }
        }
        page = read.next;
        if page.is_none() {
            break;
        }
    }
    Ok(models)
}

/// `None`: the provider has no such call.
async fn ask_valid(
    admin: &Admin,
    provider: &Provider,
    hosts: &Hosts,
    secret: &Secret,
    question: Question<'_>,
    deadline: Instant,
) -> Result<Option<Bytes>, Unlisted> {
    let call = rewrite::ask(provider, hosts, question, secret.expose())
        .map_err(|error| Unlisted::Silent(Problem::internal(error.to_string())))?;
    let Some(call) = call else { return Ok(None) };
    let answer = admin.asker.ask(call, deadline).await;
    let answer = answer.map_err(|silence| Unlisted::Silent(silent(provider, silence)))?;
    match rules::judge(provider, answer.status, &answer.body) {
        Verdict::Valid => Ok(Some(answer.body)),
        verdict => Err(Unlisted::Answered(verdict, Box::new(answer))),
    }
}

/// The provider's refusal as a problem; a key it calls invalid is marked so.
fn refused(
    admin: &Admin,
    by: &Actor,
    provider: &Provider,
    credential: &Credential,
    verdict: Verdict,
    answer: &Answer,
) -> Problem {
    if verdict == Verdict::Invalid && credential.id.is_some() {
        let detail = rules::explain(provider, verdict, answer.status, &answer.body);
        let (status, reason) = (CredentialStatus::Invalid, Some(Code::CredentialInvalid));
        admin
            .vault
            .note_status(by.clone(), credential, status, reason, Some(detail));
    }
    not_valid(provider, verdict, answer)
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
