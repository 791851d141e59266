//! The threads that serve: each runs a single-threaded runtime, and a connection stays on the thread that
//! accepted it.
//!
//! pingora's own runtime of this kind is not used: it remembers its threads in a process-wide table that a
//! later thread with a recycled id inherits, so a second gateway in one process would hand its
//! connections to the first one's dead threads.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Setting a timer that is due before a thread's next wake wakes the thread, even when it is the thread itself that
/// sets it: a system call for every call's first timer. No timer of ours is due sooner than this.
const TICK: Duration = Duration::from_millis(500);

/// Name lookups, encoding and spooled files, of one thread's calls at once. More would only wait for cores.
const BLOCKING: usize = 16;

/// Threads that end, with everything that still runs on them, when this is dropped.
pub struct Workers(Vec<Worker>);

struct Worker {
    /// Dropping it is the signal.
    _stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Workers {
    /// Starts one thread for each of `jobs` and its job on it.
    pub fn start<J>(jobs: impl IntoIterator<Item = J>) -> io::Result<(Self, Vec<JoinHandle<()>>)>
    where
        J: Future<Output = ()> + Send + 'static,
    {
        let (mut workers, mut running) = (Vec::new(), Vec::new());
        for job in jobs {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING)
                .build()?;
            running.push(runtime.spawn(job));
            runtime.spawn(tick());
            let (stop, stopped) = oneshot::channel();
            let name = format!("gateway-{}", workers.len());
            let thread = thread::Builder::new()
                .name(name)
                .spawn(move || drive(runtime, stopped))?;
            workers.push(Worker { _stop: stop, thread });
        }
        Ok((Self(workers), running))
    }

    /// Ends the threads and waits for them; blocks.
    pub fn stop(self) {
        let threads: Vec<_> = self.0.into_iter().map(|worker| worker.thread).collect();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a gateway thread has panicked");
            }
        }
    }
}

/// Sees to it that there always is a next wake.
async fn tick() {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
    }
}

fn drive(runtime: Runtime, stopped: oneshot::Receiver<()>) {
    // The sender never sends; its drop ends the wait.
    runtime.block_on(stopped).ok();
    // A name lookup under way may hold its thread for long, and is of no use to anyone now.
    runtime.shutdown_background();
}
