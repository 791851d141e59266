//! An issuer's key set, fetched from its address and kept fresh.
//!
//! Keys are served while the address is down, however old they are. They are fetched again in
//! the background once they are [`FRESH`] old, and at once, but at most every [`UNKNOWN_KEY_PAUSE`], when a
//! token names a key that is not among them. Failures back off up to [`LONGEST_PAUSE`]. Fetches never
//! overlap, take at most [`FETCH_TIME`], read at most [`MAX_BYTES`], and do not follow a redirect to
//! another host: whoever controls the answer controls who everybody is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use parking_lot::RwLock;
use policies::with_causes;
use reqwest::redirect::Policy;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

const FRESH: Duration = Duration::from_secs(300);
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const FETCH_TIME: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 512 * 1024;
const MAX_REDIRECTS: usize = 3;

/// The keys that may have signed a token.
pub enum Candidates {
    Keys(Vec<DecodingKey>),
    None,
    /// No key set was ever had, or not yet.
    Unavailable(String),
}

pub struct Jwks {
    url: Url,
    current: RwLock<Option<Arc<KeySet>>>,
    fetching: Mutex<Attempts>,
}

struct KeySet {
    keys: Vec<Key>,
    fetched: Instant,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

#[derive(Default)]
struct Attempts {
    last: Option<Instant>,
    failures: u32,
    last_error: String,
}

/// The client for key sets. Certificates are verified; other hosts are not followed to.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    let same_host = Policy::custom(|attempt| {
        let first = attempt.previous().first();
        let stays = first.is_some_and(|first| {
            first.host_str() == attempt.url().host_str() && first.scheme() == attempt.url().scheme()
        });
        if stays && attempt.previous().len() <= MAX_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    reqwest::Client::builder()
        .redirect(same_host)
        .timeout(FETCH_TIME)
        .connect_timeout(FETCH_TIME)
        .build()
}

impl Jwks {
    pub fn new(url: Url) -> Self {
        Self {
            url,
            current: RwLock::new(None),
            fetching: Mutex::new(Attempts::default()),
        }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Keys for a token that names `id`, or names none. Called on the app runtime.
    pub async fn candidates(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
        fetcher: &reqwest::Client,
    ) -> Candidates {
        if let Some(set) = self.current() {
            if set.fetched.elapsed() > FRESH {
                self.refresh_in_background(fetcher);
            }
            let keys = set.fitting(id, algorithm);
            if !keys.is_empty() {
                return Candidates::Keys(keys);
            }
        }
        let failure = self.refresh(fetcher, UNKNOWN_KEY_PAUSE).await.err();
        match self.current() {
            Some(set) => match set.fitting(id, algorithm) {
                keys if !keys.is_empty() => Candidates::Keys(keys),
                // While the address is down a new key cannot be told from a forged one.
                _ => failure.map_or(Candidates::None, Candidates::Unavailable),
            },
            None => Candidates::Unavailable(failure.unwrap_or_else(|| "no key set yet".into())),
        }
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        self.current.read().clone()
    }

    fn refresh_in_background(self: &Arc<Self>, fetcher: &reqwest::Client) {
        if self.fetching.try_lock().is_err() {
            return;
        }
        let (jwks, fetcher) = (self.clone(), fetcher.clone());
        // Failures are logged where they happen; the keys at hand go on serving.
        tokio::spawn(async move { jwks.refresh(&fetcher, FRESH).await.ok() });
    }

    /// Fetches unless the last success is younger than `pause`, or a failure still backs off. Those
    /// who come while a fetch runs wait for it and find its result.
    async fn refresh(&self, fetcher: &reqwest::Client, pause: Duration) -> Result<(), String> {
        let mut attempts = self.fetching.lock().await;
        if let Some(last) = attempts.last {
            let failed = attempts.failures > 0;
            let wait = if failed { backoff(attempts.failures) } else { pause };
            if last.elapsed() < wait {
                return if failed {
                    Err(attempts.last_error.clone())
                } else {
                    Ok(())
                };
            }
        }
        let outcome = fetch(fetcher, &self.url).await;
        attempts.last = Some(Instant::now());
        match outcome {
            Ok(keys) => {
                attempts.failures = 0;
                *self.current.write() = Some(Arc::new(KeySet {
                    keys,
                    fetched: Instant::now(),
                }));
                Ok(())
            }
            Err(error) => {
                attempts.failures = attempts.failures.saturating_add(1);
                tracing::warn!(url = %self.url, error, failures = attempts.failures, "fetching a key set");
                attempts.last_error = error.clone();
                Err(error)
            }
        }
    }
}

fn backoff(failures: u32) -> Duration {
    (FIRST_PAUSE * 2u32.saturating_pow(failures.saturating_sub(1).min(10))).min(LONGEST_PAUSE)
}

impl KeySet {
    /// A token that names no key is tried against all that fit, which are few.
    fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let named = |key: &&Key| {
            id.is_none() || key.id.as_deref() == id || (self.keys.len() == 1 && key.id.is_none())
        };
        self.keys
            .iter()
            .filter(named)
            .filter(|key| key.algorithms.contains(&algorithm))
            .map(|key| key.key.clone())
            .collect()
    }
}

async fn fetch(fetcher: &reqwest::Client, url: &Url) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<serde_json::Value>,
    }
    let mut answer = fetcher
        .get(url.clone())
        .send()
        .await
        .map_err(|e| with_causes(&e))?;
    if !answer.status().is_success() {
        return Err(format!("the address answered {}", answer.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| with_causes(&e))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(format!("the answer is larger than {MAX_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    let document: Document =
        serde_json::from_slice(&body).map_err(|e| format!("the answer is not a key set: {e}"))?;
    let keys: Vec<Key> = document.keys.into_iter().filter_map(usable).collect();
    if keys.is_empty() {
        Err("the key set holds no usable key".into())
    } else {
        Ok(keys)
    }
}

/// Key sets may hold keys for other purposes; these are passed over, not an error. A symmetric key
/// in a public document is never used.
fn usable(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|usage| *usage != PublicKeyUse::Signature)
    {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => return None,
    };
    if let Some(only) = jwk.common.key_algorithm {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == only.to_string());
    }
    Some(Key {
        id: jwk.common.key_id,
        algorithms,
        key,
    })
}
