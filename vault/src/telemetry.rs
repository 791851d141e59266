//! The vault's metrics; nothing else in this crate calls the metrics library.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

pub struct Metrics {
    pub token_cache: CacheEvents,
    pub credential_cache: CacheEvents,
    pub selection_cache: CacheEvents,
    pub journal_bytes: IntGauge,
    pub usage_events: UsageEvents,
    pub database_up: IntGauge,
    cache_events: IntCounterVec,
    usage_results: IntCounterVec,
}

/// What happened in one cache.
#[derive(Clone)]
pub struct CacheEvents {
    pub hit: IntCounter,
    pub miss: IntCounter,
    /// A query was made, which may have answered several misses.
    pub load: IntCounter,
    pub error: IntCounter,
}

/// What became of the events offered for the record.
pub struct UsageEvents {
    pub journalled: IntCounter,
    pub stored: IntCounter,
    /// The database had the WebSocket's record and has more of it now.
    pub updated: IntCounter,
    /// The queue was full because the disk or the recorder could not keep up.
    pub dropped_queue: IntCounter,
    /// The journal had reached its cap because the database was away for too long.
    pub dropped_journal: IntCounter,
    /// The disk refused them; they were held in memory for the database.
    pub unwritten: IntCounter,
    /// Lines of the journal that were cut off or garbled.
    pub unreadable: IntCounter,
    /// The database takes them by no means: a value it cannot hold.
    pub rejected: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let cache_events = counters(
            "voxgate_cache_events_total",
            "What happened in the caches",
            &["cache", "event"],
        );
        let usage_results = counters(
            "voxgate_usage_events_total",
            "What became of the events for the record",
            &["result"],
        );
        let cache = |name: &str| CacheEvents {
            hit: cache_events.with_label_values(&[name, "hit"]),
            miss: cache_events.with_label_values(&[name, "miss"]),
            load: cache_events.with_label_values(&[name, "load"]),
            error: cache_events.with_label_values(&[name, "error"]),
        };
        let result = |name: &str| usage_results.with_label_values(&[name]);
        Self {
            token_cache: cache("token"),
            credential_cache: cache("credential"),
            selection_cache: cache("selection"),
            journal_bytes: gauge(
                "voxgate_usage_journal_bytes",
                "Bytes on disk that the database does not have yet",
            ),
            usage_events: UsageEvents {
                journalled: result("journalled"),
                stored: result("stored"),
                updated: result("updated"),
                dropped_queue: result("dropped_queue"),
                dropped_journal: result("dropped_journal"),
                unwritten: result("unwritten"),
                unreadable: result("unreadable"),
                rejected: result("rejected"),
            },
            database_up: gauge("voxgate_database_up", "Whether the database answered last"),
            cache_events,
            usage_results,
        }
    }

    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.cache_events.clone()))?;
        registry.register(Box::new(self.usage_results.clone()))?;
        registry.register(Box::new(self.journal_bytes.clone()))?;
        registry.register(Box::new(self.database_up.clone()))
    }
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect("the names of metrics are legal")
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect("the names of metrics are legal")
}
