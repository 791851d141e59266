//! Which providers and keys are not worth a call for the moment: an origin that keeps failing, a key that was told
//! to wait.
//!
//! An origin opens after failures in a row, for [`FIRST_WAIT`] at first; one call is let through per wait, and the wait
//! doubles while that one fails too; one that ends without having found out gives its turn back. Any answer closes it,
//! unless it is a 5xx. All is decided from given instants.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use policies::descriptor::Origin;
use policies::meter::recordable;
use policies::vocabulary::{Code, CredentialId, ProviderId};
use vault::Credential;

const UNREACHABLE_IN_A_ROW: u32 = 5;
const ERRORS_IN_A_ROW: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
const RATE_PAUSE: Duration = Duration::from_secs(1);
const QUOTA_PAUSE: Duration = Duration::from_secs(10);
/// Past so many entries those that say nothing any more are dropped, and if none is, the oldest.
const MOST: usize = 4096;

/// Why a call was spared, and how long it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub code: Code,
    /// Whole seconds, at least one; none for an empty account of which nobody said when it fills.
    pub seconds: Option<u32>,
}

/// A key as it was stored, and the model it is used for, which may have limits of its own: a key that replaces it is
/// not held to what the old one was told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId {
    provider: ProviderId,
    id: Option<CredentialId>,
    version: i64,
    model: Option<String>,
}

impl KeyId {
    pub fn new(credential: &Credential, model: &str) -> Self {
        Self {
            provider: credential.provider.clone(),
            id: credential.id,
            version: credential.version,
            model: recordable(model),
        }
    }
}

#[derive(Default)]
pub struct Breakers(Arc<Mutex<State>>);

/// Leave to call. Dropping it gives the turn back of a call that was to find out and has not.
#[must_use]
pub struct Leave {
    _probe: Option<Probe>,
}

struct Probe {
    state: Arc<Mutex<State>>,
    origin: Arc<Origin>,
    since: Instant,
}

#[derive(Default)]
struct State {
    origins: HashMap<Arc<Origin>, Circuit>,
    keys: HashMap<KeyId, Pause>,
}

#[derive(Clone, Copy)]
struct Pause {
    code: Code,
    until: Instant,
    /// The provider itself said how long.
    told: bool,
}

/// One origin's failures in a row.
#[derive(Clone, Copy)]
struct Circuit {
    unreachable: u32,
    errors: u32,
    last: Instant,
    open: Option<Opened>,
}

#[derive(Clone, Copy)]
struct Opened {
    code: Code,
    /// Nothing is let through before.
    until: Instant,
    wait: Duration,
    /// Since when a call that was let through is finding out.
    probe: Option<Instant>,
}

impl Breakers {
    /// Whether a call may be made now. `only`: there is nobody else to try, so an origin that can be reached is asked,
    /// and so is one that did not say how long a key has to wait.
    pub fn check(&self, origin: &Arc<Origin>, key: &KeyId, only: bool, now: Instant) -> Result<Leave, Open> {
        let mut state = self.0.lock();
        if let Some(pause) = state.keys.get(key)
            && pause.until > now
            && (pause.told || !only)
        {
            let waits = pause.told || pause.code != Code::ProviderQuotaExceeded;
            return Err(Open {
                code: pause.code,
                seconds: waits.then(|| seconds(pause.until, now)),
            });
        }
        let Some(opened) = state
            .origins
            .get_mut(origin)
            .and_then(|known| known.open.as_mut())
        else {
            return Ok(Leave { _probe: None });
        };
        if opened.until <= now {
            // This call is the one that finds out; the others wait for what it finds.
            opened.until = now + opened.wait;
            opened.probe = Some(now);
            return Ok(Leave {
                _probe: Some(Probe {
                    state: self.0.clone(),
                    origin: origin.clone(),
                    since: now,
                }),
            });
        }
        if only && matches!(opened.code, Code::ProviderError | Code::ProviderTimeout) {
            return Ok(Leave { _probe: None });
        }
        Err(Open {
            code: opened.code,
            seconds: Some(seconds(opened.until, now)),
        })
    }

    pub fn answered(&self, origin: &Arc<Origin>) {
        self.0.lock().origins.remove(origin);
    }

    /// `code`: unreachable, timed out, or answered with an error of its own.
    pub fn failed(&self, origin: &Arc<Origin>, code: Code, now: Instant) {
        let mut state = self.0.lock();
        make_room(&mut state.origins, origin, now, |known| {
            known.last + LONGEST_WAIT * 2
        });
        let fresh = Circuit {
            unreachable: 0,
            errors: 0,
            last: now,
            open: None,
        };
        state
            .origins
            .entry(origin.clone())
            .or_insert(fresh)
            .failed(code, now);
    }

    /// A key's provider asks to wait, for `seconds` if it says so.
    pub fn pause(&self, key: KeyId, code: Code, seconds: Option<u32>, now: Instant) {
        let wait = match (seconds, code) {
            (Some(seconds), _) => Duration::from_secs(seconds.into()).min(LONGEST_PAUSE),
            (None, Code::ProviderQuotaExceeded) => QUOTA_PAUSE,
            (None, _) => RATE_PAUSE,
        };
        let mut state = self.0.lock();
        make_room(&mut state.keys, &key, now, |pause| pause.until);
        let pause = Pause {
            code,
            until: now + wait,
            told: seconds.is_some(),
        };
        state.keys.insert(key, pause);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let known = state.origins.get_mut(&self.origin);
        if let Some(opened) = known.and_then(|known| known.open.as_mut())
            && opened.probe == Some(self.since)
        {
            (opened.until, opened.probe) = (self.since, None);
        }
    }
}

impl Circuit {
    fn failed(&mut self, code: Code, now: Instant) {
        self.last = now;
        if code == Code::ProviderError {
            (self.errors, self.unreachable) = (self.errors + 1, 0);
        } else {
            self.unreachable += 1;
        }
        let full = self.unreachable >= UNREACHABLE_IN_A_ROW || self.errors >= ERRORS_IN_A_ROW;
        let wait = match self.open {
            None if full => FIRST_WAIT,
            Some(opened) if opened.probe.is_some() => (opened.wait * 2).min(LONGEST_WAIT),
            // Calls that were under way when it opened say nothing new.
            _ => return,
        };
        self.open = Some(Opened {
            code,
            until: now + wait,
            wait,
            probe: None,
        });
    }
}

fn seconds(until: Instant, now: Instant) -> u32 {
    let seconds = until.saturating_duration_since(now).as_secs_f64().ceil();
    (seconds as u32).max(1)
}

/// `end`: until when an entry says something. The oldest is the one that ends first.
fn make_room<K: Clone + Eq + Hash, V>(
    entries: &mut HashMap<K, V>,
    key: &K,
    now: Instant,
    end: impl Fn(&V) -> Instant,
) {
    if entries.len() < MOST || entries.contains_key(key) {
        return;
    }
    entries.retain(|_, entry| end(entry) > now);
    if entries.len() < MOST {
        return;
    }
    let oldest = entries.iter().min_by_key(|(_, entry)| end(entry));
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        entries.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn origin() -> Arc<Origin> {
        Arc::new("https://api.example.com".parse().unwrap())
    }

    fn key(version: i64) -> KeyId {
        KeyId {
            provider: ProviderId::new("example"),
            id: None,
            version,
            model: None,
        }
    }

    fn code_at(breakers: &Breakers, now: Instant) -> Option<Code> {
        let checked = breakers.check(&origin(), &key(1), false, now);
        checked.err().map(|open| open.code)
    }

    fn opened(code: Code, failures: u32, now: Instant) -> Breakers {
        let breakers = Breakers::default();
        for _ in 0..failures {
            assert_eq!(code_at(&breakers, now), None);
            breakers.failed(&origin(), code, now);
        }
        breakers
    }

    #[test]
    fn an_origin_opens_after_failures_in_a_row_and_an_answer_closes_it() {
        for (code, failures) in [
            (Code::ProviderUnreachable, UNREACHABLE_IN_A_ROW),
            (Code::ProviderTimeout, UNREACHABLE_IN_A_ROW),
            (Code::ProviderError, ERRORS_IN_A_ROW),
        ] {
            let now = Instant::now();
            let breakers = opened(code, failures, now);
            assert_eq!(code_at(&breakers, now), Some(code));
            breakers.answered(&origin());
            assert_eq!(code_at(&breakers, now), None);
        }
    }

    #[test]
    fn one_call_is_let_through_per_wait_and_the_wait_doubles_to_its_limit() {
        let mut now = Instant::now();
        let breakers = opened(Code::ProviderUnreachable, UNREACHABLE_IN_A_ROW, now);
        for wait in [5, 10, 20, 40, 60, 60] {
            now += SECOND * (wait - 1);
            assert_eq!(code_at(&breakers, now), Some(Code::ProviderUnreachable), "{wait}");
            now += SECOND;
            let leave = breakers.check(&origin(), &key(1), false, now);
            assert!(leave.is_ok(), "{wait}");
            assert_eq!(code_at(&breakers, now), Some(Code::ProviderUnreachable), "{wait}");
            breakers.failed(&origin(), Code::ProviderUnreachable, now);
        }
    }

    #[test]
    fn calls_that_were_under_way_when_it_opened_do_not_prolong_it() {
        let now = Instant::now();
        let breakers = opened(Code::ProviderTimeout, UNREACHABLE_IN_A_ROW, now);
        breakers.failed(&origin(), Code::ProviderTimeout, now + SECOND);
        assert_eq!(code_at(&breakers, now + FIRST_WAIT), None);
    }

    #[test]
    fn a_provider_that_can_be_reached_is_asked_where_there_is_no_other() {
        let now = Instant::now();
        let failing = opened(Code::ProviderError, ERRORS_IN_A_ROW, now);
        assert!(failing.check(&origin(), &key(1), true, now).is_ok());
        let slow = opened(Code::ProviderTimeout, UNREACHABLE_IN_A_ROW, now);
        assert!(slow.check(&origin(), &key(1), true, now).is_ok());
        let gone = opened(Code::ProviderUnreachable, UNREACHABLE_IN_A_ROW, now);
        assert!(gone.check(&origin(), &key(1), true, now).is_err());
    }

    #[test]
    fn a_call_that_ends_without_having_found_out_gives_its_turn_back() {
        let mut now = Instant::now();
        let breakers = opened(Code::ProviderUnreachable, UNREACHABLE_IN_A_ROW, now);
        now += FIRST_WAIT;
        let leave = breakers.check(&origin(), &key(1), false, now);
        assert_eq!(code_at(&breakers, now), Some(Code::ProviderUnreachable));
        drop(leave);
        assert_eq!(code_at(&breakers, now), None);

        let leave = breakers.check(&origin(), &key(1), false, now + FIRST_WAIT);
        breakers.failed(&origin(), Code::ProviderUnreachable, now + FIRST_WAIT);
        drop(leave);
        assert_eq!(
            code_at(&breakers, now + FIRST_WAIT),
            Some(Code::ProviderUnreachable)
        );
    }

    #[test]
    fn where_there_is_no_other_a_key_waits_only_if_its_provider_said_how_long() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        breakers.pause(key(1), Code::ProviderQuotaExceeded, None, now);
        let open = breakers.check(&origin(), &key(1), false, now).err();
        assert_eq!(open.unwrap().seconds, None);
        assert!(breakers.check(&origin(), &key(1), true, now).is_ok());
        breakers.pause(key(1), Code::ProviderQuotaExceeded, Some(5), now);
        let open = breakers.check(&origin(), &key(1), true, now).err();
        assert_eq!(open.unwrap().seconds, Some(5));
        let other_model = KeyId {
            model: Some("other".into()),
            ..key(1)
        };
        assert!(breakers.check(&origin(), &other_model, true, now).is_ok());
    }

    #[test]
    fn a_key_waits_as_long_as_it_was_told_and_its_successor_does_not() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        breakers.pause(key(1), Code::ProviderRateLimited, Some(7), now);
        let open = breakers.check(&origin(), &key(1), true, now + SECOND);
        let expected = Open {
            code: Code::ProviderRateLimited,
            seconds: Some(6),
        };
        assert_eq!(open.err(), Some(expected));
        assert!(breakers.check(&origin(), &key(2), true, now).is_ok());
        assert_eq!(code_at(&breakers, now + SECOND * 7), None);
        breakers.pause(key(1), Code::ProviderQuotaExceeded, None, now);
        assert_eq!(
            code_at(&breakers, now + SECOND * 9),
            Some(Code::ProviderQuotaExceeded)
        );
        assert_eq!(code_at(&breakers, now + QUOTA_PAUSE), None);
        breakers.pause(key(1), Code::ProviderRateLimited, Some(86_400), now);
        assert_eq!(code_at(&breakers, now + LONGEST_PAUSE), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        let most = MOST as i64;
        for version in 0..most + 10 {
            let seconds = u32::try_from(version).unwrap() + 1;
            breakers.pause(key(version), Code::ProviderRateLimited, Some(seconds), now);
        }
        let keys = &breakers.0.lock().keys;
        assert_eq!(keys.len(), MOST);
        let kept = |version| keys.contains_key(&key(version));
        assert!(!kept(9) && kept(10) && kept(most + 9));
    }
}
