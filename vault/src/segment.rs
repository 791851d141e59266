//! A segment of the journal: a run of events on disk, in memory, or both, that is delivered as a whole.
//!
//! ```text
//! 5d2c81a0 {"kind":"usage","id":…}
//! ```
//!
//! One event a line: the CRC-32 of its JSON, the JSON. A line that was cut off by a crash, or garbled, is counted
//! and passed over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use policies::vocabulary::RecordEvent;

/// How many events are kept in memory beside the disk: more than come between two deliveries.
const IN_MEMORY: usize = 8_192;
/// How many are held in memory when the disk refuses them.
const HELD: usize = 32_768;

/// A run of events that is delivered as a whole.
#[derive(Default)]
pub(crate) struct Segment {
    /// `None` while it is active, and where the disk never took any of it.
    pub path: Option<PathBuf>,
    pub bytes: u64,
    /// All of its events, unless there are too many or a former process wrote them.
    pub events: Option<Vec<RecordEvent>>,
    /// Some of its events are in memory only.
    pub unwritten: bool,
}

impl Segment {
    pub fn empty() -> Self {
        Self {
            events: Some(Vec::new()),
            ..Self::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.events.as_ref().is_some_and(Vec::is_empty)
    }

    /// Keeps what is on disk at hand, while there is room.
    pub fn remember(&mut self, more: Vec<RecordEvent>) {
        let Some(events) = &mut self.events else { return };
        events.extend(more);
        if events.len() > IN_MEMORY && !self.unwritten {
            self.events = None;
        }
    }

    /// Keeps what is nowhere else; false when there is no room, or when a part of the segment is on disk alone.
    pub fn hold(&mut self, more: Vec<RecordEvent>) -> bool {
        let Some(events) = &mut self.events else {
            return false;
        };
        if events.len() + more.len() > HELD {
            return false;
        }
        events.extend(more);
        self.unwritten = true;
        true
    }

    pub fn in_memory(&self) -> Option<&[RecordEvent]> {
        self.events.as_deref()
    }

    /// What is on disk, for reading in batches.
    pub fn read(&self) -> io::Result<SegmentReader> {
        let path = self.path.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(SegmentReader {
            lines: BufReader::new(File::open(path)?),
            unreadable: 0,
        })
    }
}

pub(crate) struct SegmentReader {
    lines: BufReader<File>,
    pub unreadable: u64,
}

impl SegmentReader {
    /// Up to so many events; none at the end.
    pub fn next(&mut self, count: usize) -> io::Result<Vec<RecordEvent>> {
        let mut events = Vec::new();
        let mut line = Vec::new();
        while events.len() < count {
            line.clear();
            if self.lines.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match parse(&line) {
                Some(event) => events.push(event),
                None => self.unreadable += 1,
            }
        }
        Ok(events)
    }
}

pub(crate) fn render(events: &[RecordEvent]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(events.len() * 600);
    for event in events {
        let start = lines.len();
        lines.extend_from_slice(b"00000000 ");
        serde_json::to_writer(&mut lines, event).expect("an event has no map with keys that are not strings");
        let sum = crc32fast::hash(&lines[start + 9..]);
        write!(&mut lines[start..start + 8], "{sum:08x}").expect("eight digits have their place");
        lines.push(b'\n');
    }
    lines
}

fn parse(line: &[u8]) -> Option<RecordEvent> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix(' ')?, 16).ok()?;
    if crc32fast::hash(json) != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use policies::vocabulary::UsageEvent;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_from_before_websockets_were_recorded_is_read() {
        let json = json!({
            "kind": "usage", "id": "01890000-0000-7000-8000-000000000001", "at": "2026-11-22T09:40:00Z",
            "user": "ann", "token_id": null, "provider": "some", "model": null, "operation": "tts",
            "mode": "native", "credential_id": null, "credential_source": "user", "status": 200,
            "outcome": "ok", "bytes_in": 1, "bytes_out": 2, "characters": 3, "audio_seconds": null,
            "estimated_cost": null, "ttfb_ms": 4, "duration_ms": 5, "attempt": 1,
            "request_id": "01890000-0000-7000-8000-000000000002", "provider_request_id": null,
        })
        .to_string();
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let Some(RecordEvent::Usage(event)) = parse(line.as_bytes()) else {
            panic!("it is not read: {line}");
        };
        let UsageEvent {
            characters,
            messages_in,
            closed_by,
            ..
        } = *event;
        assert_eq!((characters, messages_in, closed_by), (Some(3), None, None));
    }
}
