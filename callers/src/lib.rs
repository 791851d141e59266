//! Who is calling: what a caller presents becomes a [`Caller`], or a refusal.
//!
//! Two kinds of proof are known: access tokens of ours (`vxg_…`, looked up in the vault by their hash)
//! and JWTs of the configured issuers (verified here). Where several tokens are presented the first
//! valid one counts. Both listeners ask [`Callers`], so a token that works on one works on the other.

mod budget;
mod claims;
mod issuer;
mod jwks;
mod known;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use policies::vocabulary::{Caller, Code, PresentedToken, Refusal};
use policies::with_causes;
use thiserror::Error;
use tokio::runtime::Handle;
use vault::{Clock, Vault};

pub use budget::RefusalBudget;
pub use issuer::{IssuerKey, IssuerSettings};

use issuer::{Issuer, Unverified, Verdict};
use known::{Fingerprint, Known};

/// More places than any SDK fills; a head stuffed with tokens is not worth a hash each.
const MAX_PRESENTED: usize = 8;

/// Why the configured issuers cannot be used.
#[derive(Debug, Error)]
pub enum CallersError {
    #[error("issuer {issuer}: algorithm {algorithm:?} is not known")]
    UnknownAlgorithm { issuer: String, algorithm: String },
    #[error("issuer {issuer}: no algorithm is given")]
    NoAlgorithm { issuer: String },
    #[error("issuer {issuer}: algorithm {algorithm} does not fit {key}")]
    AlgorithmAndKey {
        issuer: String,
        algorithm: String,
        key: &'static str,
    },
    #[error("issuer {issuer}: reading {path}")]
    KeyFile {
        issuer: String,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("issuer {issuer}: {path} holds no usable key: {reason}")]
    Key {
        issuer: String,
        path: PathBuf,
        reason: String,
    },
    #[error("issuer {issuer} with audience {audience} is configured twice")]
    Twice { issuer: String, audience: String },
    #[error("building the client that fetches keys")]
    Client(#[from] reqwest::Error),
}

/// Whether these issuers can be used, asking nobody.
pub fn check(issuers: Vec<IssuerSettings>) -> Result<(), CallersError> {
    Issuer::all(issuers, &[]).map(drop)
}

/// Issuers that can be taken over, so that a change which is refused elsewhere leaves these alone too.
pub struct Prepared(Vec<Issuer>);

/// Everything that can prove who is calling. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Callers(Arc<Shared>);

struct Shared {
    issuers: RwLock<Arc<Vec<Issuer>>>,
    known: Known,
    vault: Vault,
    app: Handle,
    clock: Arc<dyn Clock>,
    fetcher: reqwest::Client,
}

impl Callers {
    pub fn new(
        issuers: Vec<IssuerSettings>,
        vault: Vault,
        app: Handle,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CallersError> {
        let fetcher = jwks::client()?;
        let issuers = RwLock::new(Arc::new(Issuer::all(issuers, &[])?));
        Ok(Self(Arc::new(Shared {
            issuers,
            known: Known::new(),
            vault,
            app,
            clock,
            fetcher,
        })))
    }

    /// Other issuers, found usable. Keys fetched from an address that stays are kept, so that taking over
    /// during an outage of that address locks nobody out.
    pub fn prepare(&self, issuers: Vec<IssuerSettings>) -> Result<Prepared, CallersError> {
        Issuer::all(issuers, &self.0.issuers.read()).map(Prepared)
    }

    /// Puts other issuers in the place of those at work. What was verified under the old ones is forgotten.
    pub fn take_over(&self, Prepared(issuers): Prepared) {
        *self.0.issuers.write() = Arc::new(issuers);
        self.0.known.forget();
    }

    /// The answer when it needs no I/O: everything up to the first valid token has been seen lately.
    pub fn cached(&self, presented: &[PresentedToken]) -> Option<Result<Arc<Caller>, Refusal>> {
        let now = self.0.clock.now();
        for token in presented.iter().take(MAX_PRESENTED) {
            let seen = match vault::token::parse(token.expose()) {
                Some(hash) => self.0.vault.cached_token(&hash),
                None if looks_like_jwt(token) => self.0.known.get(&Fingerprint::of(token), now),
                None => Some(None),
            };
            match seen {
                Some(Some(caller)) if caller.expires_at.is_none_or(|end| now < end) => {
                    return Some(Ok(caller));
                }
                Some(_) => continue,
                None => return None,
            }
        }
        Some(Err(unauthenticated(presented.is_empty())))
    }

    /// The answer, asking the database and the issuers' addresses where needed. The work runs on the app
    /// runtime, which owns the database's connections. Doubt about a token is no verdict on it: when
    /// no other token is valid the caller is told to come back.
    pub async fn authenticate(&self, presented: &[PresentedToken]) -> Result<Arc<Caller>, Refusal> {
        if let Some(answer) = self.cached(presented) {
            return answer;
        }
        let shared = self.0.clone();
        let tokens: Vec<_> = presented.iter().take(MAX_PRESENTED).cloned().collect();
        match self
            .0
            .app
            .spawn(async move { shared.examine(&tokens).await })
            .await
        {
            Ok(answer) => answer,
            Err(stopped) => Err(unsure(stopped.to_string())),
        }
    }
}

impl Shared {
    async fn examine(&self, presented: &[PresentedToken]) -> Result<Arc<Caller>, Refusal> {
        let mut doubt = None;
        for token in presented {
            let found = match vault::token::parse(token.expose()) {
                Some(hash) => self.vault.token(&hash).await.map_err(|e| unsure(with_causes(&e))),
                None => self.examine_jwt(token).await,
            };
            match found {
                Ok(Some(caller)) if caller.expires_at.is_none_or(|end| self.clock.now() < end) => {
                    return Ok(caller);
                }
                Ok(_) => continue,
                Err(refusal) => doubt = doubt.or(Some(refusal)),
            }
        }
        Err(doubt.unwrap_or_else(|| unauthenticated(presented.is_empty())))
    }

    async fn examine_jwt(&self, token: &PresentedToken) -> Result<Option<Arc<Caller>>, Refusal> {
        if !looks_like_jwt(token) {
            return Ok(None);
        }
        let fingerprint = Fingerprint::of(token);
        if let Some(known) = self.known.get(&fingerprint, self.clock.now()) {
            return Ok(known);
        }
        let generation = self.known.generation();
        match self.verify(token).await {
            Verdict::Valid(caller) => {
                let caller = Arc::new(caller);
                self.known.accept(fingerprint, generation, caller.clone());
                Ok(Some(caller))
            }
            Verdict::Refused(cause) => {
                tracing::debug!(cause, "a JWT was refused");
                self.known.refuse(fingerprint, generation, self.clock.now());
                Ok(None)
            }
            Verdict::Unsure(cause) => Err(unsure(cause)),
        }
    }

    /// The issuer is chosen by what the token says of itself; nothing else of it is believed until the
    /// issuer's key has confirmed it. Issuers may share a name and differ in audience.
    async fn verify(&self, token: &PresentedToken) -> Verdict {
        let unverified = match Unverified::parse(token.expose()) {
            Ok(unverified) => unverified,
            Err(cause) => return Verdict::Refused(cause),
        };
        let issuers = self.issuers.read().clone();
        let mut last = Verdict::Refused("its issuer is not configured");
        for issuer in issuers.iter().filter(|issuer| issuer.name() == unverified.issuer) {
            match issuer
                .verify(token.expose(), &unverified, self.clock.now(), &self.fetcher)
                .await
            {
                Verdict::Refused(cause) => last = Verdict::Refused(cause),
                decided => return decided,
            }
        }
        last
    }
}

/// Three segments; everything else is no JWT and costs neither a hash nor a slot in the cache.
fn looks_like_jwt(token: &PresentedToken) -> bool {
    token.expose().bytes().filter(|byte| *byte == b'.').count() == 2
}

fn unauthenticated(nothing_presented: bool) -> Refusal {
    let message = if nothing_presented {
        "no access token was given; send it where your SDK puts its API key"
    } else {
        "the access token is wrong, expired or revoked"
    };
    Refusal::new(Code::Unauthenticated, message)
}

fn unsure(cause: String) -> Refusal {
    Refusal::new(
        Code::Overloaded,
        "the access token cannot be checked at the moment",
    )
    .because(cause)
    .retry_after(2)
}
