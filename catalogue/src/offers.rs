//! Whether a model or a voice is there to be chosen.
//!
//! The provider's own list decides where a credential may read it. Where there is none, or it may speak but not
//! list, the descriptor decides as far as it can; what neither can say is taken on trust.

use policies::descriptor::{Model, Provider, Voice};
use policies::rules::{offers_model, offers_voice};
use policies::vocabulary::{Actor, Caller, Operation, Verdict};
use vault::Credential;

use crate::Catalogue;
use crate::lists::{PAGES_MAX, Search, Unlisted};

/// How many alternatives are told.
const NAMED_MAX: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is on the list, or nothing says that it is not.
    Possible,
    /// It is on no list; these are some that are, if any.
    Absent(Vec<String>),
}

impl Catalogue {
    pub async fn offers_model(
        &self,
        by: &Actor,
        provider: &Provider,
        credential: Option<&Credential>,
        operation: Operation,
        id: &str,
    ) -> Result<Offer, Unlisted> {
        let is = |model: &&Model| {
            model.operations.contains(&operation)
                && offers_model(provider, operation, &model.id) != Some(false)
        };
        let kept = match credential {
            Some(credential) => unless_barred(self.listed(by, provider, credential).await)?,
            None => None,
        };
        if let Some(kept) = kept.filter(|kept| kept.live) {
            let listed = kept.models.iter().filter(is).map(|model| model.id.as_str());
            return Ok(offer(listed.clone().any(|listed| listed == id), listed));
        }
        let known = provider
            .models
            .fixed
            .iter()
            .filter(is)
            .map(|model| model.id.as_str());
        Ok(offer(offers_model(provider, operation, id) != Some(false), known))
    }

    /// With more pages than are followed, a voice may be on one of those.
    pub async fn offers_voice(
        &self,
        by: &Actor,
        provider: &Provider,
        credential: Option<&Credential>,
        id: &str,
    ) -> Result<Offer, Unlisted> {
        let known = || provider.voices.fixed.iter().map(|voice| voice.id.as_str());
        let by_descriptor = || offer(offers_voice(provider, id) != Some(false), known());
        let (Some(credential), Some(_)) = (credential, &provider.voices.call) else {
            return Ok(by_descriptor());
        };
        let found = self.look_for(by, provider, credential, id).await;
        Ok(match unless_barred(found)? {
            None => by_descriptor(),
            Some(Sought::Found(_) | Sought::Unknown) => Offer::Possible,
            Some(Sought::Absent(some)) => offer(false, some.iter().map(|voice| voice.id.as_str())),
        })
    }

    /// A voice as the provider lists it for this caller; `None` where no list shows it.
    pub async fn voice(&self, by: &Actor, caller: &Caller, provider: &Provider, id: &str) -> Option<Voice> {
        let credential = self.credential(caller, provider).await.ok()?;
        match self.look_for(by, provider, &credential, id).await {
            Ok(Sought::Found(voice)) => Some(voice),
            Ok(Sought::Absent(_) | Sought::Unknown) => None,
            Err(unlisted) => {
                tracing::debug!(why = %unlisted, "a voice is not looked up");
                None
            }
        }
    }

    /// Follows as many pages as any list is followed.
    async fn look_for(
        &self,
        by: &Actor,
        provider: &Provider,
        credential: &Credential,
        id: &str,
    ) -> Result<Sought, Unlisted> {
        let mut search = Search::default();
        let mut some: Vec<Voice> = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut page = self.voices(by, provider, credential, search).await?;
            if let Some(at) = page.items.iter().position(|voice| voice.id == id) {
                return Ok(Sought::Found(page.items.swap_remove(at)));
            }
            let room = NAMED_MAX.saturating_sub(some.len());
            some.extend(page.items.into_iter().take(room));
            let Some(next) = page.next else {
                return Ok(Sought::Absent(some));
            };
            search = Search {
                cursor: Some(next),
                ..Search::default()
            };
        }
        Ok(Sought::Unknown)
    }
}

/// A voice looked for in the provider's list.
enum Sought {
    Found(Voice),
    /// It is on no page; these are some that are.
    Absent(Vec<Voice>),
    /// It is on none of the pages that were followed.
    Unknown,
}

fn offer<'a>(possible: bool, instead: impl Iterator<Item = &'a str>) -> Offer {
    if possible {
        Offer::Possible
    } else {
        Offer::Absent(instead.take(NAMED_MAX).map(str::to_owned).collect())
    }
}

/// `None`: this key, as it is now, gets no list. That says nothing of what it may be used for once it is mended.
fn unless_barred<T>(asked: Result<T, Unlisted>) -> Result<Option<T>, Unlisted> {
    match asked {
        Ok(listed) => Ok(Some(listed)),
        Err(Unlisted::Answered(
            Verdict::Invalid | Verdict::Restricted | Verdict::Blocked | Verdict::Quota,
            _,
        )) => Ok(None),
        Err(unlisted) => Err(unlisted),
    }
}
