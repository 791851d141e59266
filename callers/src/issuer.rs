//! One JWT issuer: which algorithms it may use, with which keys, and what makes a token of it valid.
//!
//! The algorithm is pinned by the configuration. The token's own `alg` only selects among the
//! pinned ones and must fit the kind of the key: a public key is never used as an HMAC secret. A header
//! with `crit` is refused, since no extension is implemented here.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use policies::vocabulary::Caller;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::CallersError;
use crate::claims::{self, Claims};
use crate::jwks::{Candidates, Jwks};

const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// One `[[auth.jwt]]` section.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    pub issuer: String,
    pub audience: String,
    pub algorithms: Vec<String>,
    pub key: IssuerKey,
    pub user_claim: String,
    pub user_prefix: String,
    pub roles_claim: String,
    pub teams_claim: String,
    pub team_admin_claim: String,
    /// How long before its `nbf` a token is taken, for clocks that disagree; more than a minute counts as
    /// a minute.
    pub leeway: Duration,
}

#[derive(Clone, Debug)]
pub enum IssuerKey {
    JwksUrl(Url),
    /// The HMAC secret; one line end at its end is not part of it.
    SecretFile(PathBuf),
    /// A public key in PEM.
    PublicKeyFile(PathBuf),
}

pub struct Issuer {
    settings: IssuerSettings,
    algorithms: Vec<Algorithm>,
    keys: Keys,
}

enum Keys {
    Fixed(DecodingKey),
    Fetched(Arc<Jwks>),
}

/// What became of one token. Causes are for the log.
pub enum Verdict {
    Valid(Caller),
    Refused(&'static str),
    /// The issuer's keys could not be had; says nothing about the token.
    Unsure(String),
}

/// What a token says of itself before anything is verified.
pub struct Unverified {
    pub issuer: String,
    algorithm: Algorithm,
    key_id: Option<String>,
}

impl Issuer {
    /// Issuers for these settings, taking over fetched keys of `former` ones with the same address.
    pub fn all(settings: Vec<IssuerSettings>, former: &[Issuer]) -> Result<Vec<Self>, CallersError> {
        let mut issuers: Vec<Self> = Vec::with_capacity(settings.len());
        for settings in settings {
            let twice = |other: &&Issuer| {
                other.settings.issuer == settings.issuer && other.settings.audience == settings.audience
            };
            if issuers.iter().find(twice).is_some() {
                return Err(CallersError::Twice {
                    issuer: settings.issuer,
                    audience: settings.audience,
                });
            }
            issuers.push(Self::new(settings, former)?);
        }
        Ok(issuers)
    }

    fn new(mut settings: IssuerSettings, former: &[Issuer]) -> Result<Self, CallersError> {
        settings.leeway = settings.leeway.min(MAX_LEEWAY);
        let algorithms = pinned(&settings)?;
        let keys = match &settings.key {
            IssuerKey::JwksUrl(url) => Keys::Fetched(fetched(url, former)),
            IssuerKey::SecretFile(path) => Keys::Fixed(secret(&settings.issuer, path)?),
            IssuerKey::PublicKeyFile(path) => {
                Keys::Fixed(public_key(&settings.issuer, path, algorithms[0].family())?)
            }
        };
        Ok(Self {
            settings,
            algorithms,
            keys,
        })
    }

    pub fn name(&self) -> &str {
        &self.settings.issuer
    }

    pub async fn verify(
        &self,
        token: &str,
        unverified: &Unverified,
        now: DateTime<Utc>,
        fetcher: &reqwest::Client,
    ) -> Verdict {
        if !self.algorithms.contains(&unverified.algorithm) {
            return Verdict::Refused("its algorithm is not the issuer's");
        }
        let claims = match &self.keys {
            Keys::Fixed(key) => confirmed(token, key, unverified.algorithm),
            Keys::Fetched(jwks) => {
                let key_id = unverified.key_id.as_deref();
                match jwks.candidates(key_id, unverified.algorithm, fetcher).await {
                    Candidates::Keys(keys) => keys
                        .iter()
                        .find_map(|key| confirmed(token, key, unverified.algorithm)),
                    Candidates::None => return Verdict::Refused("no key of the issuer fits it"),
                    Candidates::Unavailable(cause) => return Verdict::Unsure(cause),
                }
            }
        };
        let Some(claims) = claims else {
            return Verdict::Refused("its signature is wrong");
        };
        match claims::check(&claims, &self.settings, now)
            .and_then(|()| claims::caller(&claims, &self.settings))
        {
            Ok(caller) => Verdict::Valid(caller),
            Err(cause) => Verdict::Refused(cause),
        }
    }
}

impl Unverified {
    pub fn parse(token: &str) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            crit: Option<serde_json::Value>,
        }
        #[derive(Deserialize)]
        struct Body {
            iss: String,
        }
        let mut segments = token.split('.');
        let header: Header = segment(segments.next()).ok_or("its header is not readable")?;
        let body: Body = segment(segments.next()).ok_or("its claims name no issuer")?;
        if header.crit.is_some() {
            return Err("it demands an extension that is not known here");
        }
        let algorithm = Algorithm::from_str(&header.alg).map_err(|_| "its algorithm is not known")?;
        Ok(Self {
            issuer: body.iss,
            algorithm,
            key_id: header.kid,
        })
    }
}

fn segment<T: for<'de> Deserialize<'de>>(encoded: Option<&str>) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded?).ok()?).ok()
}

/// The claims, if `key` made this signature with `algorithm`. Times and names are [`claims::check`]'s job,
/// with the clock we are given.
fn confirmed(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<Claims> {
    if key.family() != algorithm.family() {
        return None;
    }
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Claims>(token, key, &validation)
        .ok()
        .map(|token| token.claims)
}

fn pinned(settings: &IssuerSettings) -> Result<Vec<Algorithm>, CallersError> {
    let issuer = || settings.issuer.clone();
    if settings.algorithms.is_empty() {
        return Err(CallersError::NoAlgorithm { issuer: issuer() });
    }
    let mut algorithms = Vec::with_capacity(settings.algorithms.len());
    for name in &settings.algorithms {
        let algorithm = Algorithm::from_str(name).map_err(|_| CallersError::UnknownAlgorithm {
            issuer: issuer(),
            algorithm: name.clone(),
        })?;
        let symmetric = algorithm.family() == AlgorithmFamily::Hmac;
        let (fits, key) = match &settings.key {
            IssuerKey::SecretFile(_) => (symmetric, "secret_file"),
            IssuerKey::JwksUrl(_) => (!symmetric, "jwks_url"),
            IssuerKey::PublicKeyFile(_) => {
                let first: Option<&Algorithm> = algorithms.first();
                let same_kind = first.is_none_or(|first| first.family() == algorithm.family());
                (!symmetric && same_kind, "public_key_file")
            }
        };
        if !fits {
            return Err(CallersError::AlgorithmAndKey {
                issuer: issuer(),
                algorithm: name.clone(),
                key,
            });
        }
        algorithms.push(algorithm);
    }
    Ok(algorithms)
}

fn fetched(url: &Url, former: &[Issuer]) -> Arc<Jwks> {
    former
        .iter()
        .find_map(|issuer| match &issuer.keys {
            Keys::Fetched(jwks) if jwks.url() == url => Some(jwks.clone()),
            _ => None,
        })
        .unwrap_or_else(|| Arc::new(Jwks::new(url.clone())))
}

fn read(issuer: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, CallersError> {
    std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|source| CallersError::KeyFile {
            issuer: issuer.to_owned(),
            path: path.to_owned(),
            source,
        })
}

fn secret(issuer: &str, path: &Path) -> Result<DecodingKey, CallersError> {
    let bytes = read(issuer, path)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        let (issuer, path) = (issuer.to_owned(), path.to_owned());
        return Err(CallersError::Key {
            issuer,
            path,
            reason: "the secret is empty".into(),
        });
    }
    if line.len() < 32 {
        tracing::warn!(
            issuer,
            bytes = line.len(),
            "the secret is short enough to be guessed; use 32 bytes"
        );
    }
    Ok(DecodingKey::from_secret(line))
}

fn public_key(issuer: &str, path: &Path, family: AlgorithmFamily) -> Result<DecodingKey, CallersError> {
    let pem = read(issuer, path)?;
    let key = match family {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(&pem),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(&pem),
        _ => DecodingKey::from_ed_pem(&pem),
    };
    key.map_err(|error| CallersError::Key {
        issuer: issuer.to_owned(),
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
