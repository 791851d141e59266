//! One event, one JSON line, written field by field into a buffer that the thread keeps.
//!
//! Every call of the data path logs a line, so this costs neither an allocation nor a look at fields one by one
//! through a map. Fields stand in the order in which the event names them; an absent one is left out.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::Lines;

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { line: Vec::new(), text: String::new() }) };
}

/// The line under way, and what a field formats itself into before it is escaped.
struct Scratch {
    line: Vec<u8>,
    text: String,
}

/// The layer that writes events as JSON.
pub struct JsonLines(pub Arc<Lines>);

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        SCRATCH.with(|scratch| {
            // A field whose formatting logs would come here again; its own line is not worth a panic.
            let Ok(mut scratch) = scratch.try_borrow_mut() else {
                return;
            };
            scratch.begin(event);
            event.record(&mut *scratch);
            scratch.value("target", event.metadata().target());
            scratch.line.extend_from_slice(b"}\n");
            self.0.append(&scratch.line);
        });
    }
}

impl Scratch {
    fn begin(&mut self, event: &Event<'_>) {
        self.line.clear();
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let level = event.metadata().level().as_str();
        // Writing to memory cannot fail.
        let _ = write!(self.line, r#"{{"timestamp":"{now}","level":"{level}""#);
    }

    fn name(&mut self, name: &str) {
        self.line.extend_from_slice(b",\"");
        self.line.extend_from_slice(name.as_bytes());
        self.line.extend_from_slice(b"\":");
    }

    fn value<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.name(name);
        if serde_json::to_writer(&mut self.line, value).is_err() {
            self.line.extend_from_slice(b"null");
        }
    }
}

impl Visit for Scratch {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.value(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field.name(), &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        if write!(text, "{value:?}").is_ok() {
            self.value(field.name(), text.as_str());
        }
        self.text = text;
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logged(log: impl FnOnce()) -> Vec<serde_json::Value> {
        let lines = Arc::new(Lines::new());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(JsonLines(lines.clone())), log);
        let written = std::mem::take(&mut *lines.buffer.lock());
        let written = String::from_utf8(written).expect("lines are text");
        written
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect()
    }

    #[test]
    fn each_event_is_one_line_with_its_fields_as_they_are() {
        let lines = logged(|| {
            tracing::info!(target: "call", user = "a \"quoted\"\nname", status = 200_u16, ttfb_ms = None::<u32>, "call");
            tracing::warn!(cause = %"shown", odd = f64::NAN, "second");
        });
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["target"], "call");
        assert_eq!(lines[0]["message"], "call");
        assert_eq!(lines[0]["user"], "a \"quoted\"\nname");
        assert_eq!(lines[0]["status"], 200);
        assert!(lines[0].get("ttfb_ms").is_none());
        assert!(lines[0]["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')));
        assert_eq!(lines[1]["cause"], "shown");
        assert!(lines[1]["odd"].is_null());
    }
}
