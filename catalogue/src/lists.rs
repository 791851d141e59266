//! What a provider offers to one credential: models and voices, live, kept for a few minutes.
//!
//! A list belongs to the credential and its version: a replaced key never shows what the old one could see.

use std::collections::HashSet;
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

use crate::Catalogue;
use crate::ask::{self, Answer, Silence};

const KEPT: Duration = Duration::from_secs(300);
/// How long a provider that failed is not asked again for what a caller can call.
const FAILURE_KEPT: Duration = Duration::from_secs(10);
const FAILURES_MAX: u64 = 4_000;
const MODEL_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Providers have some dozens; one with so many is a crowd's hub, of which a part is shown.
const MODELS_MAX: usize = 2_000;
const VOICE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// A provider that always names a next page is not asked for ever.
pub(crate) const PAGES_MAX: usize = 10;

/// The credential that a list was made with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
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

impl Seen {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.provider.as_str().len()
    }
}

/// Which voices, and which page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Search {
    pub q: Option<String>,
    pub language: Option<String>,
    pub cursor: Option<String>,
}

impl Search {
    fn weight(&self) -> usize {
        let words = [&self.q, &self.language, &self.cursor];
        size_of::<Self>() + words.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// The part that the provider searches itself. The rest is searched here, in a list that is kept whole:
    /// one typed letter more is then no new question.
    fn upstream(&self, provider: &Provider) -> Search {
        let voices = &provider.voices;
        Search {
            q: self.q.clone().filter(|_| voices.search_query.is_some()),
            language: self.language.clone().filter(|_| voices.language_query.is_some()),
            cursor: self.cursor.clone(),
        }
    }
}

/// Models that are kept, and whether they are all that the provider itself lists.
#[derive(Clone)]
pub(crate) struct Kept {
    pub models: Arc<Vec<Model>>,
    pub live: bool,
}

impl Kept {
    fn weight(&self) -> usize {
        let one = |model: &Model| size_of::<Model>() + model.id.len() + model.name.len();
        self.models.iter().map(one).sum()
    }
}

pub(crate) struct Lists {
    models: Cache<Seen, Kept>,
    /// What is shown in place of a list that could not be had.
    pub instead: Cache<Seen, Arc<Vec<Model>>>,
    /// Answers as they came, `None` where the provider has no such call.
    voices: Cache<(Seen, Search), Option<Bytes>>,
}

impl Lists {
    pub fn new() -> Self {
        // The words of a search are the caller's, so they count as well.
        let voices_weight = |(seen, search): &(Seen, Search), answer: &Option<Bytes>| {
            weight(seen.weight() + search.weight() + answer.as_ref().map_or(0, Bytes::len))
        };
        Self {
            models: Cache::builder()
                .time_to_live(KEPT)
                .max_capacity(MODEL_BYTES_MAX)
                .weigher(|seen: &Seen, kept: &Kept| weight(seen.weight() + kept.weight()))
                .build(),
            instead: Cache::builder()
                .time_to_live(FAILURE_KEPT)
                .max_capacity(FAILURES_MAX)
                .build(),
            voices: Cache::builder()
                .time_to_live(KEPT)
                .max_capacity(VOICE_BYTES_MAX)
                .weigher(voices_weight)
                .build(),
        }
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).max(1)
}

/// Why there is no list.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unlisted {
    #[error(transparent)]
    Silent(#[from] Silence),
    /// A success that does not read as the provider's.
    #[error("{0}")]
    Unreadable(String),
    /// The descriptor's call cannot be made.
    #[error("{0}")]
    Unasked(String),
    #[error("the provider's answer says that the key is {0}")]
    Answered(Verdict, Box<Answer>),
}

impl Catalogue {
    /// All models that the credential may use.
    pub async fn models(
        &self,
        by: &Actor,
        provider: &Provider,
        credential: &Credential,
    ) -> Result<Arc<Vec<Model>>, Unlisted> {
        let kept = self.listed(by, provider, credential).await?;
        Ok(kept.models)
    }

    /// However many ask at once, the provider is asked once.
    pub(crate) async fn listed(
        &self,
        by: &Actor,
        provider: &Provider,
        credential: &Credential,
    ) -> Result<Kept, Unlisted> {
        let Credential { hosts, secret, .. } = credential;
        let asking = async {
            match self.ask_models(provider, hosts, secret, ask::deadline()).await {
                Ok(models) => Ok(Kept {
                    live: provider.models.call.is_some() && models.len() < MODELS_MAX,
                    models: Arc::new(models),
                }),
                // A key may speak without being allowed to list; what the descriptor knows still holds.
                Err(Unlisted::Answered(Verdict::Restricted, _)) if !provider.models.fixed.is_empty() => {
                    Ok(Kept {
                        models: Arc::new(provider.models.fixed.clone()),
                        live: false,
                    })
                }
                Err(unlisted) => {
                    self.note_refused(by, provider, credential, &unlisted);
                    Err(unlisted)
                }
            }
        };
        let kept = self.0.lists.models.try_get_with(credential.into(), asking).await;
        kept.map_err(|unlisted: Arc<Unlisted>| (*unlisted).clone())
    }

    /// One page of voices, as the provider pages them.
    pub async fn voices(
        &self,
        by: &Actor,
        provider: &Provider,
        credential: &Credential,
        search: Search,
    ) -> Result<Page<Voice>, Unlisted> {
        let upstream = search.upstream(provider);
        let asked = upstream.clone();
        let asking = async move {
            let Credential { hosts, secret, .. } = credential;
            let question = Question::Voices {
                q: asked.q.as_deref(),
                language: asked.language.as_deref(),
                page: asked.cursor.as_deref(),
            };
            match self
                .ask_valid(provider, hosts, secret, question, ask::deadline())
                .await
            {
                // Only what reads as a list is kept.
                Ok(answer) => read_voices(provider, answer.as_deref(), &Search::default()).map(|_| answer),
                Err(unlisted) => {
                    self.note_refused(by, provider, credential, &unlisted);
                    Err(unlisted)
                }
            }
        };
        let place = (credential.into(), upstream);
        let kept = self.0.lists.voices.try_get_with(place, asking).await;
        let answer = kept.map_err(|unlisted: Arc<Unlisted>| (*unlisted).clone())?;
        read_voices(provider, answer.as_deref(), &search)
    }

    /// Every page of the provider's list, up to so many models; the descriptor's own where the provider has none.
    pub async fn ask_models(
        &self,
        provider: &Provider,
        hosts: &Hosts,
        secret: &Secret,
        deadline: Instant,
    ) -> Result<Vec<Model>, Unlisted> {
        let (mut models, mut known) = (Vec::new(), HashSet::new());
        let mut page = None;
        for _ in 0..PAGES_MAX {
            let question = Question::Models {
                page: page.as_deref(),
            };
            let Some(answer) = self
                .ask_valid(provider, hosts, secret, question, deadline)
                .await?
            else {
                return Ok(provider.models.fixed.clone());
            };
            let read = rewrite::read_models(provider, &answer, None)
                .map_err(|error| Unlisted::Unreadable(error.to_string()))?;
            // Each page has the descriptor's own models merged in.
            for model in read.items {
                if models.len() < MODELS_MAX && known.insert(model.id.clone()) {
                    models.push(model);
                }
            }
            page = read.next;
            if page.is_none() || models.len() == MODELS_MAX {
                break;
            }
        }
        Ok(models)
    }

    /// `None`: the provider has no such call.
    async fn ask_valid(
        &self,
        provider: &Provider,
        hosts: &Hosts,
        secret: &Secret,
        question: Question<'_>,
        deadline: Instant,
    ) -> Result<Option<Bytes>, Unlisted> {
        let call = rewrite::ask(provider, hosts, question, secret.expose())
            .map_err(|error| Unlisted::Unasked(error.to_string()))?;
        let Some(call) = call else { return Ok(None) };
        let answer = self.0.asker.ask(call, deadline).await?;
        match rules::judge(provider, answer.status, &answer.body) {
            Verdict::Valid => Ok(Some(answer.body)),
            verdict => Err(Unlisted::Answered(verdict, Box::new(answer))),
        }
    }

    /// Marks a stored key that its provider calls invalid.
    fn note_refused(&self, by: &Actor, provider: &Provider, credential: &Credential, unlisted: &Unlisted) {
        let Unlisted::Answered(Verdict::Invalid, answer) = unlisted else {
            return;
        };
        if credential.id.is_some() {
            let detail = rules::explain(provider, Verdict::Invalid, answer.status, &answer.body);
            let (status, reason) = (CredentialStatus::Invalid, Some(Code::CredentialInvalid));
            self.0
                .vault
                .note_status(by.clone(), credential, status, reason, Some(detail));
        }
    }
}

fn read_voices(provider: &Provider, answer: Option<&[u8]>, search: &Search) -> Result<Page<Voice>, Unlisted> {
    rewrite::read_voices(provider, answer, search.q.as_deref(), search.language.as_deref())
        .map_err(|error| Unlisted::Unreadable(error.to_string()))
}
