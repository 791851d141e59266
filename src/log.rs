//! Log lines on stderr, written by a thread of their own every few milliseconds.
//!
//! A line is formatted where the event happens and appended to a buffer, which costs no system call and
//! wakes nobody. When stderr is not read and the buffer is full, lines are dropped and counted: a log line
//! may be lost, a call may not be held up by one. `Flush` writes what is left when it is dropped.

mod json;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{Log, LogFormat};
use json::JsonLines;

const INTERVAL: Duration = Duration::from_millis(20);
const CAPACITY: usize = 4 * 1024 * 1024;
/// What the buffers keep after a burst.
const RETAINED: usize = 256 * 1024;

/// The buffer between those who log and the thread that writes.
struct Lines {
    buffer: Mutex<Vec<u8>>,
    dropped: AtomicU64,
    closing: AtomicBool,
}

/// Writes what is left when dropped.
pub struct Flush {
    lines: Arc<Lines>,
    writer: Option<JoinHandle<()>>,
    level: reload::Handle<EnvFilter, tracing_subscriber::Registry>,
}

/// How `fmt` writes its text lines into the buffer.
struct Line {
    lines: Arc<Lines>,
}

struct LineMaker(Arc<Lines>);

/// Starts logging for the whole process.
pub fn start(settings: &Log) -> anyhow::Result<Flush> {
    let (filter, level) = reload::Layer::new(level(&settings.level)?);
    let lines = Arc::new(Lines::new());
    let registry = tracing_subscriber::registry().with(filter);
    match settings.format {
        LogFormat::Json => registry.with(JsonLines(lines.clone())).try_init(),
        LogFormat::Text => {
            let text = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(LineMaker(lines.clone()));
            registry.with(text).try_init()
        }
    }
    .context("start logging")?;
    let writer = std::thread::Builder::new().name("log".into()).spawn({
        let lines = lines.clone();
        move || lines.write_until_closed()
    })?;
    Ok(Flush {
        lines,
        writer: Some(writer),
        level,
    })
}

/// What `log.level` means.
pub fn level(level: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(level).with_context(|| format!("log.level: `{level}` is not a level or directive"))
}

impl Flush {
    /// Changes what is logged from now on.
    pub fn set_level(&self, level: EnvFilter) -> anyhow::Result<()> {
        self.level.reload(level).context("change the log level")
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.lines.closing.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            eprintln!("the log writer panicked; the last lines may be missing");
        }
    }
}

impl Lines {
    fn new() -> Self {
        Self {
            buffer: Mutex::new(Vec::with_capacity(64 * 1024)),
            dropped: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }
    }

    fn append(&self, line: &[u8]) {
        let mut buffer = self.buffer.lock();
        if buffer.len() + line.len() > CAPACITY {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            buffer.extend_from_slice(line);
        }
    }

    fn write_until_closed(&self) {
        let mut batch = Vec::with_capacity(64 * 1024);
        loop {
            let closing = self.closing.load(Ordering::Acquire);
            std::mem::swap(&mut batch, &mut *self.buffer.lock());
            // A closed stderr leaves nobody to tell.
            let _ = io::stderr().write_all(&batch);
            batch.clear();
            batch.shrink_to(RETAINED);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let _ = writeln!(
                    io::stderr(),
                    "{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"lines\":{dropped}}}"
                );
            }
            if closing {
                return;
            }
            std::thread::sleep(INTERVAL);
        }
    }
}

impl<'a> MakeWriter<'a> for LineMaker {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            lines: self.0.clone(),
        }
    }
}

/// `fmt` hands over one whole line per call.
impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.append(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
