//! A cache whose entries a change makes void at once, also those whose load had begun before it.
//!
//! Each entry holds the generation, read before its load began, of the shard that its key falls into. A change
//! raises the shard's generation after its commit; a reader whose shard differs from the entry's treats it as
//! absent. However many readers miss a key at once, one load runs, and only for readers of the same generation:
//! who comes after a change never joins a load from before it.
//!
//! As long as the database confirms that no notice of a change is missing, an entry holds until it has gone unused
//! for [`LIFE`]. Without the database, it holds for [`LIFE`] after the last confirmation.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::error::VaultError;
use crate::telemetry::CacheEvents;

/// How long a key stays in memory unused; and how stale it may be where no notice of a change arrives, on a node
/// that is cut off from the database.
const LIFE: Duration = Duration::from_secs(10 * 60);
const SHARDS: usize = 1024;

/// The counters that changes raise.
pub(crate) struct Generations {
    shards: [AtomicU64; SHARDS],
    /// How often any of them was raised.
    raised: AtomicU64,
    /// When they were last known to lack no change, in seconds since 1970.
    confirmed_at: AtomicI64,
}

/// Where in [`Generations`] something falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard(usize);

impl Shard {
    pub fn of(key: &(impl Hash + ?Sized)) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Self(hasher.finish() as usize % SHARDS)
    }
}

impl Generations {
    pub fn new() -> Self {
        Self {
            shards: [const { AtomicU64::new(0) }; SHARDS],
            raised: AtomicU64::new(0),
            confirmed_at: AtomicI64::new(i64::MIN),
        }
    }

    pub fn of(&self, shard: Shard) -> u64 {
        self.shards[shard.0].load(Ordering::Acquire)
    }

    /// Moves with every change, once what it voids is void: whoever reads it and then looks again misses nothing.
    pub fn mark(&self) -> u64 {
        self.raised.load(Ordering::Acquire)
    }

    pub fn raise(&self, shard: Shard) {
        self.shards[shard.0].fetch_add(1, Ordering::AcqRel);
        self.move_mark();
    }

    pub fn raise_all(&self) {
        self.shards.iter().for_each(|shard| {
            shard.fetch_add(1, Ordering::AcqRel);
        });
        self.move_mark();
    }

    /// For a change that voids no entry.
    pub fn move_mark(&self) {
        self.raised.fetch_add(1, Ordering::AcqRel);
    }

    /// Every change from before `at` has been raised.
    pub fn confirm(&self, at: DateTime<Utc>) {
        self.confirmed_at.store(at.timestamp(), Ordering::Release);
    }
}

pub(crate) trait CacheKey: Clone + Eq + Hash + Send + Sync + 'static {
    fn shard(&self) -> Shard;
}

type Answer<V> = Option<Arc<V>>;
type Load<V> = Shared<BoxFuture<'static, Result<Answer<V>, VaultError>>>;

struct Entry<V> {
    generation: u64,
    /// In seconds since 1970.
    loaded_at: i64,
    value: Answer<V>,
}

// By hand, for a derive would ask for `V: Clone`.
impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self {
            generation: self.generation,
            loaded_at: self.loaded_at,
            value: self.value.clone(),
        }
    }
}

/// What caches share.
#[derive(Clone)]
pub(crate) struct Around {
    pub generations: Arc<Generations>,
    pub clock: Arc<dyn Clock>,
    /// Where loads run: none depends on the one who asked staying, nor on the runtime that one asked from.
    pub runtime: Handle,
}

pub(crate) struct Cache<K, V> {
    entries: moka::sync::Cache<K, Entry<V>>,
    loads: Mutex<HashMap<(K, u64), Load<V>>>,
    generations: Arc<Generations>,
    clock: Arc<dyn Clock>,
    events: CacheEvents,
    runtime: Handle,
}

impl<K: CacheKey, V: Send + Sync + 'static> Cache<K, V> {
    pub fn new(capacity: u64, events: CacheEvents, around: Around) -> Self {
        // moka's own clock only sees to it that keys do not stay in memory; validity is decided here.
        let entries = moka::sync::Cache::builder()
            .max_capacity(capacity)
            .time_to_idle(LIFE)
            .build();
        let Around {
            generations,
            clock,
            runtime,
        } = around;
        Self {
            entries,
            loads: Mutex::new(HashMap::new()),
            generations,
            clock,
            events,
            runtime,
        }
    }

    /// From memory only. `Some(None)`: known to be absent.
    pub fn get(&self, key: &K) -> Option<Answer<V>> {
        let found = self
            .entries
            .get(key)
            .filter(|entry| self.holds(entry, self.generations.of(key.shard())));
        match &found {
            Some(_) => self.events.hit.inc(),
            None => self.events.miss.inc(),
        }
        found.map(|entry| entry.value)
    }

    /// From memory, or by the one load that all who miss the key now share.
    pub async fn get_or_load(
        self: &Arc<Self>,
        key: &K,
        load: impl FnOnce() -> BoxFuture<'static, Result<Option<V>, VaultError>>,
    ) -> Result<Answer<V>, VaultError> {
        let generation = self.generations.of(key.shard());
        let under_way = {
            let mut loads = self.loads.lock();
            // Looked up under the lock that a finished load takes to leave, so that its answer is not missed.
            if let Some(entry) = self
                .entries
                .get(key)
                .filter(|entry| self.holds(entry, generation))
            {
                return Ok(entry.value);
            }
            let place = (key.clone(), generation);
            loads
                .entry(place)
                .or_insert_with(|| self.clone().fill(key.clone(), generation, load()))
                .clone()
        };
        under_way.await
    }

    fn fill(
        self: Arc<Self>,
        key: K,
        generation: u64,
        load: BoxFuture<'static, Result<Option<V>, VaultError>>,
    ) -> Load<V> {
        self.events.load.inc();
        let loaded_at = self.clock.now().timestamp();
        let runtime = self.runtime.clone();
        let task = runtime.spawn(async move {
            let leave = Leave {
                cache: &self,
                place: Some((key.clone(), generation)),
            };
            let answer = load.await.map(|value| value.map(Arc::new));
            match &answer {
                Ok(value) => {
                    let entry = Entry {
                        generation,
                        loaded_at,
                        value: value.clone(),
                    };
                    self.entries.insert(key, entry);
                }
                Err(_) => self.events.error.inc(),
            }
            drop(leave);
            answer
        });
        let stopped = |_| {
            Err(VaultError::Unavailable {
                doing: "loading into the cache",
                cause: None,
            })
        };
        task.map(move |done| done.unwrap_or_else(stopped))
            .boxed()
            .shared()
    }

    /// Takes the plaintext out of memory now rather than when its time is over.
    pub fn forget(&self, key: &K) {
        self.entries.invalidate(key);
    }

    /// Takes what is due out of memory also while nobody asks.
    pub fn tidy(&self) {
        self.entries.run_pending_tasks();
    }

    fn holds(&self, entry: &Entry<V>, generation: u64) -> bool {
        let known_at = entry
            .loaded_at
            .max(self.generations.confirmed_at.load(Ordering::Acquire));
        // A clock that was set back makes ages negative; such entries are not trusted.
        let age = u64::try_from(self.clock.now().timestamp() - known_at);
        entry.generation == generation && age.is_ok_and(|age| age < LIFE.as_secs())
    }
}

/// Takes a load off the list when it is done, also by a panic: the next reader then starts another.
struct Leave<'a, K: CacheKey, V: Send + Sync + 'static> {
    cache: &'a Cache<K, V>,
    place: Option<(K, u64)>,
}

impl<K: CacheKey, V: Send + Sync + 'static> Drop for Leave<'_, K, V> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.cache.loads.lock().remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use chrono::TimeDelta;

    use super::*;
    use crate::clock::FrozenClock;
    use crate::telemetry::Metrics;

    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Name(&'static str);

    impl CacheKey for Name {
        fn shard(&self) -> Shard {
            Shard::of(self.0)
        }
    }

    struct Bench {
        cache: Arc<Cache<Name, u32>>,
        generations: Arc<Generations>,
        clock: FrozenClock,
        loads: Arc<AtomicUsize>,
    }

    impl Bench {
        fn new() -> Self {
            let generations = Arc::new(Generations::new());
            let clock = FrozenClock::at(DateTime::UNIX_EPOCH);
            let around = Around {
                generations: generations.clone(),
                clock: Arc::new(clock.clone()),
                runtime: Handle::current(),
            };
            let cache = Cache::new(100, Metrics::new().token_cache, around);
            Self {
                cache: Arc::new(cache),
                generations,
                clock,
                loads: Arc::default(),
            }
        }

        async fn load(&self, key: Name, value: Option<u32>) -> Option<u32> {
            let loads = self.loads.clone();
            let load = move || {
                async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(value)
                }
                .boxed()
            };
            self.cache
                .get_or_load(&key, load)
                .await
                .unwrap()
                .map(|value| *value)
        }

        fn cached(&self, key: Name) -> Option<Option<u32>> {
            self.cache.get(&key).map(|answer| answer.map(|value| *value))
        }
    }

    #[tokio::test]
    async fn many_who_miss_at_once_share_one_load() {
        let bench = Bench::new();
        let answers = futures::future::join_all((0..100).map(|_| bench.load(Name("a"), Some(1)))).await;
        assert_eq!(answers, vec![Some(1); 100]);
        assert_eq!(bench.loads.load(Ordering::SeqCst), 1);
        assert_eq!(bench.cached(Name("a")), Some(Some(1)));
    }

    #[tokio::test]
    async fn a_load_from_before_a_change_is_neither_kept_nor_joined() {
        let bench = Bench::new();
        let old = bench.load(Name("a"), Some(1));
        let new = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            bench.generations.raise(Name("a").shard());
            bench.load(Name("a"), None).await
        };
        assert_eq!(futures::join!(old, new), (Some(1), None));
        assert_eq!(bench.loads.load(Ordering::SeqCst), 2);
        assert_eq!(bench.cached(Name("a")), Some(None));
    }

    #[tokio::test]
    async fn one_who_leaves_does_not_take_the_load_along() {
        let bench = Bench::new();
        let left = tokio::time::timeout(Duration::from_millis(5), bench.load(Name("a"), Some(1))).await;
        assert!(left.is_err());
        assert_eq!(bench.load(Name("a"), Some(2)).await, Some(1));
        assert_eq!(bench.loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_load_that_panics_fails_its_readers_and_leaves_room_for_the_next() {
        let bench = Bench::new();
        let panicking = || async { panic!("a bug in a query") }.boxed();
        assert!(bench.cache.get_or_load(&Name("a"), panicking).await.is_err());
        assert_eq!(bench.load(Name("a"), Some(2)).await, Some(2));
    }

    #[tokio::test]
    async fn a_failed_load_is_not_kept() {
        let bench = Bench::new();
        let failing = || {
            async {
                Err(VaultError::Unavailable {
                    doing: "testing",
                    cause: None,
                })
            }
            .boxed()
        };
        assert!(bench.cache.get_or_load(&Name("a"), failing).await.is_err());
        assert_eq!(bench.load(Name("a"), Some(2)).await, Some(2));
    }

    #[tokio::test]
    async fn presence_and_absence_hold_for_ten_minutes_after_the_last_confirmation() {
        let bench = Bench::new();
        bench.load(Name("there"), Some(1)).await;
        bench.load(Name("absent"), None).await;
        let holds = |after: i64| {
            bench.clock.set(DateTime::UNIX_EPOCH + TimeDelta::seconds(after));
            let found = [Name("there"), Name("absent")].map(|name| bench.cached(name).is_some());
            assert_eq!(found[0], found[1], "after {after} s");
            found[0]
        };
        assert!(holds(599) && !holds(600));
        let confirmed = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        bench.generations.confirm(confirmed);
        assert!(holds(3_600 + 599) && !holds(3_600 + 600));
        bench.clock.set(confirmed - TimeDelta::seconds(1));
        assert!(bench.cached(Name("there")).is_none(), "the clock was set back");
    }

    #[tokio::test]
    async fn raising_all_voids_everything() {
        let bench = Bench::new();
        bench.load(Name("a"), Some(1)).await;
        bench.generations.raise_all();
        assert_eq!(bench.cached(Name("a")), None);
    }

    #[tokio::test]
    async fn the_mark_moves_with_every_change_and_with_nothing_else() {
        let bench = Bench::new();
        let before = bench.generations.mark();
        bench.load(Name("a"), Some(1)).await;
        bench.generations.confirm(DateTime::UNIX_EPOCH);
        assert_eq!(bench.generations.mark(), before);
        bench.generations.raise(Name("a").shard());
        let one = bench.generations.mark();
        bench.generations.raise_all();
        assert!(before < one && one < bench.generations.mark());
    }
}
