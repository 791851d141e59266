//! `Grant` → [`Permit`]: its place among the calls in flight, given back when the permit is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use policies::vocabulary::{Code, Refusal};
use tokio::sync::Notify;

use super::Stop;
use super::authorise::Grant;
use crate::unified::breaker::Leave;

/// How many calls, or connections, are under way. Cheap to clone.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Count>);

#[derive(Default)]
struct Count {
    now: AtomicUsize,
    none_left: Notify,
}

/// One of them; dropping it ends it.
pub struct Slot(Arc<Count>);

impl InFlight {
    pub fn enter(&self) -> Slot {
        self.0.now.fetch_add(1, Ordering::Relaxed);
        Slot(self.0.clone())
    }

    pub fn now(&self) -> usize {
        self.0.now.load(Ordering::Acquire)
    }

    /// Returns the moment the last one ends.
    pub async fn none_left(&self) {
        loop {
            let woken = self.0.none_left.notified();
            if self.now() == 0 {
                return;
            }
            woken.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.now.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

pub struct Permit {
    pub grant: Grant,
    _slot: Option<Slot>,
    _leave: Option<Leave>,
}

impl Permit {
    /// For one of several calls of a request that holds its place itself.
    pub fn within(_place: &Slot, grant: Grant, leave: Leave) -> Self {
        Self {
            grant,
            _slot: None,
            _leave: Some(leave),
        }
    }
}

/// A body announced as too large is refused before anything goes upstream; one that turns out to be is
/// caught while it passes.
pub fn admit(
    grant: Grant,
    headers: &HeaderMap,
    max_body_bytes: u64,
    in_flight: &InFlight,
) -> Result<Permit, Stop> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.trim().parse().ok());
    if announced.is_some_and(|length: u64| length > max_body_bytes) {
        return Err(grant.seen().stop(too_large(max_body_bytes)));
    }
    Ok(Permit {
        grant,
        _slot: Some(in_flight.enter()),
        _leave: None,
    })
}

pub fn too_large(max_body_bytes: u64) -> Refusal {
    Refusal::new(
        Code::PayloadTooLarge,
        format!("the body is larger than {max_body_bytes} bytes"),
    )
}
