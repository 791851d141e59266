//! From the journal to the database: in batches, again until it works, and never twice.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policies::vocabulary::{AuditEvent, RecordEvent, UsageEvent};
use policies::with_causes;
use tokio::sync::watch;

use crate::error::{During, VaultError};
use crate::journal::Journal;
use crate::recorder::Sink;
use crate::segment::Segment;
use crate::store::db::within;
use crate::store::{audit, tokens, usage};

const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause after failures; they double from [`PAUSE`] up to it.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// Events in one transaction: many, for what they share is written once.
const BATCH: usize = 1_024;
/// After failures there are fewer, down to this: a slow database takes few in the time that a call to it has.
const SMALL_BATCH: usize = 64;
/// How often the last uses of tokens are written.
const TOKEN_USE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error(transparent)]
    Database(#[from] VaultError),
    #[error("the journal cannot be read")]
    Journal(#[from] io::Error),
}

/// Ends when told to finish, after a last delivery, or when the vault is gone.
pub(crate) async fn run(journal: Arc<Journal>, sink: Sink, mut finishing: watch::Receiver<bool>) {
    let (mut pause, mut batch) = (PAUSE, BATCH);
    let mut failing = false;
    let mut tokens_noted = Instant::now();
    loop {
        let woken = tokio::time::timeout(pause, finishing.changed()).await;
        if matches!(woken, Ok(Err(_))) {
            return;
        }
        let last = *finishing.borrow_and_update();
        let delivered = deliver_all(&journal, batch, &sink).await;
        sink.metrics.journal_bytes.set(journal.bytes() as i64);
        if let Err(error) = &delivered
            && !failing
        {
            tracing::error!(error = with_causes(error), "events wait in the journal");
        }
        (pause, batch) = if delivered.is_ok() {
            (PAUSE, BATCH)
        } else {
            ((pause * 2).min(LONG_PAUSE), (batch / 2).max(SMALL_BATCH))
        };
        if failing && delivered.is_ok() {
            tracing::info!("the events that waited in the journal are delivered");
        }
        failing = delivered.is_err();
        if !failing && (last || tokens_noted.elapsed() >= TOKEN_USE) {
            tokens_noted = Instant::now();
            note_token_use(&sink).await;
        }
        if last {
            return;
        }
    }
}

async fn deliver_all(journal: &Journal, batch: usize, sink: &Sink) -> Result<(), DeliveryError> {
    while let Some(segment) = journal.front()? {
        deliver(&segment, batch, sink).await?;
        journal.delivered(&segment)?;
    }
    Ok(())
}

async fn deliver(segment: &Segment, batch: usize, sink: &Sink) -> Result<(), DeliveryError> {
    if let Some(events) = segment.in_memory() {
        for batch in events.chunks(batch) {
            store(batch, sink).await?;
        }
        return Ok(());
    }
    let mut reader = segment.read()?;
    loop {
        let events = reader.next(batch)?;
        if events.is_empty() {
            break;
        }
        store(&events, sink).await?;
    }
    if reader.unreadable > 0 {
        sink.metrics.usage_events.unreadable.inc_by(reader.unreadable);
        tracing::warn!(
            lines = reader.unreadable,
            "lines of the journal were cut off or garbled"
        );
    }
    Ok(())
}

/// Stores a batch; when the database will never take one of its events, all the others, by halves.
async fn store(batch: &[RecordEvent], sink: &Sink) -> Result<(), VaultError> {
    let mut waiting = vec![batch];
    while let Some(batch) = waiting.pop() {
        match insert(batch, sink).await {
            Err(error) if error.is_about_values() && batch.len() > 1 => {
                let (first, second) = batch.split_at(batch.len() / 2);
                waiting.extend([second, first]);
            }
            Err(error) if error.is_about_values() => {
                sink.metrics.usage_events.rejected.inc();
                tracing::error!(
                    error = with_causes(&error),
                    "the database takes an event by no means"
                );
            }
            done => done?,
        }
    }
    Ok(())
}

async fn insert(batch: &[RecordEvent], sink: &Sink) -> Result<(), VaultError> {
    const DOING: &str = "storing events";
    let mut calls: Vec<&UsageEvent> = Vec::with_capacity(batch.len());
    let mut audits: Vec<&AuditEvent> = Vec::new();
    for event in batch {
        match event {
            RecordEvent::Usage(event) => calls.push(event),
            RecordEvent::Audit(event) => audits.push(event),
        }
    }
    let (stored, refused) = within(DOING, async {
        let mut tx = sink.db.begin(DOING).await?;
        let stored = usage::insert(tx.link(), &calls).await.during(DOING)?;
        let refused = audit::insert(tx.link(), &audits).await.during(DOING)?;
        tx.commit(DOING).await?;
        Ok((stored, refused))
    })
    .await?;
    let counts = &sink.metrics.usage_events;
    counts.stored.inc_by(stored.new + refused);
    counts.updated.inc_by(stored.updated);
    Ok(())
}

/// A use that is not noted is made up for by the next one: the minute is gone, the token is not.
async fn note_token_use(sink: &Sink) {
    const DOING: &str = "noting the use of tokens";
    let used: HashMap<_, _> = std::mem::take(&mut *sink.used_tokens.lock());
    if used.is_empty() {
        return;
    }
    let noted = within(DOING, async {
        let mut tx = sink.db.begin(DOING).await?;
        for (id, at) in &used {
            tokens::note_use(tx.link(), *id, *at).await.during(DOING)?;
        }
        tx.commit(DOING).await
    });
    if let Err(error) = noted.await {
        tracing::warn!(
            error = with_causes(&error),
            "the last use of tokens was not noted"
        );
    }
}
