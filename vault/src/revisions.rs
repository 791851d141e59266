//! Tells changes made elsewhere, on other nodes or by commands, from our own.
//!
//! Each change raises the revision in the database. Our own changes void just their shard of the caches and
//! leave their number here; a number that none of ours accounts for means that anything may have changed.

use std::collections::BTreeSet;

use parking_lot::Mutex;

pub(crate) struct Revisions(Mutex<Seen>);

struct Seen {
    last: i64,
    /// Those of ours that have not been polled yet.
    ours: BTreeSet<i64>,
}

impl Revisions {
    pub fn starting_at(revision: i64) -> Self {
        Self(Mutex::new(Seen {
            last: revision,
            ours: BTreeSet::new(),
        }))
    }

    pub fn made(&self, revision: i64) {
        let mut seen = self.0.lock();
        if revision > seen.last {
            seen.ours.insert(revision);
        }
    }

    /// Whether someone else has changed something since the last look.
    pub fn look(&self, now: i64) -> bool {
        let mut seen = self.0.lock();
        if now == seen.last {
            return false;
        }
        // Lower than before: the database was put back from a backup.
        let restored = now < seen.last;
        let later = seen.ours.split_off(&(now + 1));
        let accounted = seen.ours.len() as i64 == now - seen.last;
        *seen = Seen {
            last: now,
            ours: later,
        };
        restored || !accounted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_changes_are_not_foreign() {
        let revisions = Revisions::starting_at(5);
        revisions.made(6);
        revisions.made(7);
        assert!(!revisions.look(6));
        assert!(!revisions.look(7));
        assert!(!revisions.look(7));
    }

    #[test]
    fn a_gap_between_ours_is_foreign() {
        let revisions = Revisions::starting_at(5);
        revisions.made(6);
        revisions.made(8);
        assert!(revisions.look(8));
        revisions.made(9);
        assert!(!revisions.look(9));
    }

    #[test]
    fn a_change_seen_before_it_is_accounted_for_counts_as_foreign_once() {
        let revisions = Revisions::starting_at(5);
        assert!(revisions.look(6));
        revisions.made(6);
        assert!(!revisions.look(6));
    }

    #[test]
    fn a_restored_database_is_foreign() {
        let revisions = Revisions::starting_at(5);
        assert!(revisions.look(3));
        assert!(!revisions.look(3));
    }
}
