//! How many connections callers may hold. Whoever opens them by the thousand must not take the descriptors that
//! providers, database and journal need, nor keep others out by being silent on them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::stages::admit::{InFlight, Slot};

/// Descriptors for the database, the journal, the admin listener and name lookups.
const RESERVED: u64 = 256;
const FEWEST: usize = 16;

pub struct Crowd {
    most: usize,
    open: InFlight,
}

impl Crowd {
    /// As many as the process may have: half of its descriptors, for each call may need one towards a provider.
    pub fn of_process() -> Self {
        let most = descriptors().saturating_sub(RESERVED) / 2;
        Self::of(usize::try_from(most).unwrap_or(usize::MAX).max(FEWEST))
    }

    fn of(most: usize) -> Self {
        let open = InFlight::default();
        Self { most, open }
    }

    /// A place for one connection; `None` when all are taken.
    pub fn enter(&self) -> Option<Slot> {
        let slot = self.open.enter();
        (self.open.now() <= self.most).then_some(slot)
    }

    /// Whether places run out, so that silence on a connection is no longer waited for.
    pub fn is_dense(&self) -> bool {
        self.open.now() > self.most / 4 * 3
    }
}

/// The limit on open files, raised as far as it may be.
fn descriptors() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Where it cannot be raised it stays, which is what the answer says.
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() {
        maximum
    } else {
        current
    };
    limit.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_run_out_and_come_back() {
        let crowd = Crowd::of(4);
        let mut held: Vec<_> = (0..3).map(|_| crowd.enter().unwrap()).collect();
        assert!(!crowd.is_dense());
        held.push(crowd.enter().unwrap());
        assert!(crowd.is_dense() && crowd.enter().is_none());
        held.clear();
        assert!(!crowd.is_dense() && crowd.enter().is_some());
    }

    #[test]
    fn callers_get_at_most_half_of_the_descriptors() {
        let most = Crowd::of_process().most;
        assert!(
            most >= FEWEST && (most == FEWEST || most as u64 <= descriptors() / 2),
            "{most}"
        );
    }
}
