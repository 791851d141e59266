//! Whether a model or a voice is there to be chosen.
//!
//! The provider's own list decides where a credential may read it. Where there is none, or it may speak but not
//! list, the descriptor decides as far as it can; what neither can say is taken on trust.

use policies::descriptor::{Model, Provider, Voice};
use policies::rules::{offers_model, offers_voice};
use policies::vocabulary::{Actor, Operation, Verdict};
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
        let is = |model: &&Model| model.operations.contains(&operation);
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

    /// Follows as many pages as any list is followed; with more of them, a voice may be on one of those.
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
        let mut search = Search::default();
        let mut some: Vec<Voice> = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.voices(by, provider, credential, search).await;
            let Some(page) = unless_barred(page)? else {
                return Ok(by_descriptor());
            };
            if page.items.iter().any(|voice| voice.id == id) {
                return Ok(Offer::Possible);
            }
            let room = NAMED_MAX.saturating_sub(some.len());
            some.extend(page.items.into_iter().take(room));
            let Some(next) = page.next else {
                return Ok(offer(false, some.iter().map(|voice| voice.id.as_str())));
            };
            search = Search {
                cursor: Some(next),
                ..Search::default()
            };
        }
        Ok(Offer::Possible)
    }
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
