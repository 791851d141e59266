//! Time and chance as arguments, so that tests can fix both.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use parking_lot::Mutex;

pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
}

pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Stands still until told otherwise.
#[derive(Clone)]
pub struct FrozenClock(Arc<Mutex<DateTime<Utc>>>);

impl FrozenClock {
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    pub fn set(&self, now: DateTime<Utc>) {
        *self.0.lock() = now;
    }

    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock() += by;
    }
}

impl Clock for FrozenClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock()
    }
}

/// A time as both databases keep it: to the microsecond.
pub(crate) fn to_microseconds(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(at)
}

/// Where keys, nonces and tokens come from.
pub trait Chance: Send + Sync {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoChance>;
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system's random source failed")]
pub struct NoChance;

/// The system's random source by way of aws-lc.
pub struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoChance> {
        SystemRandom::new().fill(bytes).map_err(|_| NoChance)
    }
}
