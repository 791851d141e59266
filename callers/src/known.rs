//! JWTs seen lately and what became of them, by SHA-256; the tokens themselves are not kept.
//!
//! An accepted token is served until it expires, a refused one for a few seconds, which spares a flood of
//! bad tokens the signature check. [`Known::forget`] raises the generation, so that a verification
//! that began before it cannot bring its result back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use moka::sync::Cache;
use policies::vocabulary::{Caller, PresentedToken};

const MAX_ENTRIES: u64 = 100_000;
const MAX_AGE: Duration = Duration::from_secs(15 * 60);
const REFUSED_FOR: chrono::Duration = chrono::Duration::seconds(5);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(token: &PresentedToken) -> Self {
        let digest = digest(&SHA256, token.expose().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

#[derive(Clone)]
struct Entry {
    generation: u64,
    caller: Option<Arc<Caller>>,
    until: Option<DateTime<Utc>>,
}

pub struct Known {
    entries: Cache<Fingerprint, Entry>,
    generation: AtomicU64,
}

impl Known {
    pub fn new() -> Self {
        let entries = Cache::builder()
            .max_capacity(MAX_ENTRIES)
            .time_to_live(MAX_AGE)
            .build();
        Self {
            entries,
            generation: AtomicU64::new(0),
        }
    }

    /// `Some(None)`: known to be refused.
    pub fn get(&self, token: &Fingerprint, now: DateTime<Utc>) -> Option<Option<Arc<Caller>>> {
        let entry = self.entries.get(token)?;
        let live = entry.generation == self.generation() && entry.until.is_none_or(|end| now < end);
        live.then_some(entry.caller)
    }

    /// `generation` is the one read before verification began.
    pub fn accept(&self, token: Fingerprint, generation: u64, caller: Arc<Caller>) {
        let until = caller.expires_at;
        self.entries.insert(
            token,
            Entry {
                generation,
                caller: Some(caller),
                until,
            },
        );
    }

    pub fn refuse(&self, token: Fingerprint, generation: u64, now: DateTime<Utc>) {
        self.entries.insert(
            token,
            Entry {
                generation,
                caller: None,
                until: Some(now + REFUSED_FOR),
            },
        );
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.entries.invalidate_all();
    }
}
