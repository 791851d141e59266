//! How much of the audit record strangers may fill: whoever floods a listener with bad tokens would otherwise
//! decide how large it grows. Past the budget, refusals are counted in the metrics alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const REFUSALS_PER_SECOND: u64 = 50;

/// How many refusals of strangers go on record each second.
pub struct RefusalBudget {
    began: Instant,
    /// The second in the upper half, what it has used in the lower.
    used: AtomicU64,
}

impl RefusalBudget {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            used: AtomicU64::new(0),
        }
    }

    pub fn take(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.began).as_secs() << 32;
        let next = |used: u64| {
            if used >> 32 << 32 == second {
                used + 1
            } else {
                second + 1
            }
        };
        let before = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(next(used)));
        let (Ok(before) | Err(before)) = before;
        next(before) & 0xffff_ffff <= REFUSALS_PER_SECOND
    }
}

impl Default for RefusalBudget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_budget_is_per_second() {
        let budget = RefusalBudget::new();
        let now = budget.began;
        let taken = (0..2 * REFUSALS_PER_SECOND).filter(|_| budget.take(now)).count() as u64;
        assert_eq!(taken, REFUSALS_PER_SECOND);
        assert!(budget.take(now + Duration::from_secs(1)));
    }
}
