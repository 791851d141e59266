//! The recorder: takes events from calls without ever blocking or waking anyone, and brings them by way of the
//! journal to the database.
//!
//! A thread looks every 20 ms for what calls have left and writes it to the journal. A task takes the journal's
//! segments to the database, in batches, and waits where the database is away. Waking a thread per event costs
//! a fifth of a gateway's core; looking regularly costs next to nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use policies::vocabulary::{RecordEvent, TokenId};
use policies::with_causes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::delivery;
use crate::error::OpenError;
use crate::journal::Journal;
use crate::store::db::Db;
use crate::telemetry::Metrics;

const LOOK: Duration = Duration::from_millis(20);
/// How much a loss of power may take, of what waits for the database.
const SYNC: Duration = Duration::from_secs(1);
/// Events between two looks; more than any machine makes in 20 ms.
const QUEUE: usize = 65_536;
/// How long closing waits for the database.
const FINISH: Duration = Duration::from_secs(10);

/// Where events go.
#[derive(Clone)]
pub(crate) struct Sink {
    pub db: Arc<Db>,
    pub metrics: Arc<Metrics>,
    pub used_tokens: UsedTokens,
}

pub(crate) type UsedTokens = Arc<Mutex<HashMap<TokenId, DateTime<Utc>>>>;

pub(crate) struct Recorder {
    queue: Arc<Mutex<Queue>>,
    sink: Sink,
    /// Dropped to end the thread.
    writer: Mutex<Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>>,
    /// Set to true to deliver all there is and end.
    finish: watch::Sender<bool>,
    delivery: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    events: Vec<RecordEvent>,
    closed: bool,
}

impl Recorder {
    pub fn start(path: &Path, max_bytes: u64, sink: Sink) -> Result<Self, OpenError> {
        let journal = Arc::new(Journal::open(path, max_bytes)?);
        let queue = Arc::new(Mutex::new(Queue::default()));
        let (stop, stopped) = mpsc::channel();
        let writer = Writer {
            queue: queue.clone(),
            journal: journal.clone(),
            metrics: sink.metrics.clone(),
        };
        let writer = thread::Builder::new()
            .name("vg-journal".to_owned())
            .spawn(move || writer.run(&stopped))
            .map_err(|cause| OpenError::Journal {
                file: path.to_owned(),
                cause,
            })?;
        let (finish, finishing) = watch::channel(false);
        let delivery = tokio::spawn(delivery::run(journal, sink.clone(), finishing));
        Ok(Self {
            queue,
            sink,
            writer: Mutex::new(Some((stop, writer))),
            finish,
            delivery: Mutex::new(Some(delivery)),
        })
    }

    pub fn offer(&self, event: RecordEvent) {
        let mut queue = self.queue.lock();
        if queue.closed || queue.events.len() >= QUEUE {
            drop(queue);
            self.sink.metrics.usage_events.dropped_queue.inc();
            return;
        }
        queue.events.push(event);
    }

    pub fn used_tokens(&self) -> UsedTokens {
        self.sink.used_tokens.clone()
    }

    /// Writes what is left to the journal, then gives the database a last chance to take it.
    pub async fn finish(&self) {
        self.queue.lock().closed = true;
        let writer = self.writer.lock().take();
        if let Some((stop, writer)) = writer {
            drop(stop);
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the journal's thread ended by a panic");
            }
        }
        self.finish.send_replace(true);
        let delivery = self.delivery.lock().take();
        if let Some(delivery) = delivery
            && tokio::time::timeout(FINISH, delivery).await.is_err()
        {
            tracing::warn!("the database did not take the last events; they stay in the journal");
        }
    }
}

struct Writer {
    queue: Arc<Mutex<Queue>>,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
}

impl Writer {
    fn run(self, stopped: &mpsc::Receiver<()>) {
        let mut trouble = Trouble::default();
        let mut synced = Instant::now();
        let mut usual = 0;
        loop {
            let stopping = stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout);
            // Made before the lock is taken, so that no call grows the queue or waits for memory.
            let fresh = Vec::with_capacity(usual);
            let events = std::mem::replace(&mut self.queue.lock().events, fresh);
            usual = events.len();
            if !events.is_empty() {
                self.append(events, &mut trouble);
            }
            if stopping || synced.elapsed() >= SYNC {
                synced = Instant::now();
                trouble.note(self.journal.sync(), "the journal cannot be synced to disk");
            }
            if stopping {
                return;
            }
        }
    }

    fn append(&self, events: Vec<RecordEvent>, trouble: &mut Trouble) {
        let (taken, written) = self.journal.append(events);
        trouble.note(
            written,
            "the journal cannot be written; events are held in memory",
        );
        let counts = &self.metrics.usage_events;
        counts.journalled.inc_by(taken.journalled);
        counts.unwritten.inc_by(taken.unwritten);
        counts.dropped_journal.inc_by(taken.dropped);
        self.metrics.journal_bytes.set(self.journal.bytes() as i64);
        if taken.dropped > 0 && !trouble.dropping {
            tracing::error!("the journal is full; events are dropped and counted until it drains");
        }
        trouble.dropping = taken.dropped > 0;
    }
}

/// Says once that something fails, and once that it works again.
#[derive(Default)]
struct Trouble {
    failing: bool,
    dropping: bool,
}

impl Trouble {
    fn note(&mut self, done: std::io::Result<()>, what: &'static str) {
        match done {
            Err(error) if !self.failing => {
                tracing::error!(error = with_causes(&error), "{what}");
                self.failing = true;
            }
            Ok(()) if self.failing => {
                tracing::info!("the journal is written again");
                self.failing = false;
            }
            _ => {}
        }
    }
}
