//! The journal: events on disk until the database has them.
//!
//! Events go to the active file; what is to be delivered is first renamed to a numbered segment beside it, which
//! is removed once the database has all of it. A crash in between delivers a segment again, which the ids of its
//! events make harmless. In good times events are still in memory when they are delivered, and nothing is read
//! back. When the disk refuses to write, memory alone carries them.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use policies::vocabulary::RecordEvent;

use crate::error::OpenError;
use crate::files::{beside, folder_of, lock_beside, make_folder_of, private};
use crate::segment::{Segment, render};

/// A segment that grew to this while the database was away is closed: it is delivered as a whole.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// What could not be taken, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub journalled: u64,
    /// Held in memory, for the disk refused them.
    pub unwritten: u64,
    pub dropped: u64,
}

pub(crate) struct Journal {
    path: PathBuf,
    max_bytes: u64,
    state: Mutex<State>,
    /// Keeps other processes out.
    _lock: File,
}

struct State {
    active: Segment,
    file: Option<File>,
    sealed: VecDeque<Arc<Segment>>,
    next: u64,
}

impl Journal {
    /// Takes up what a former process left.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::Journal {
            file: path.to_owned(),
            cause,
        };
        make_folder_of(path).map_err(failed)?;
        let lock = lock_beside(path).map_err(failed)?;
        let lock = lock.ok_or_else(|| OpenError::JournalInUse {
            file: path.to_owned(),
        })?;
        let sealed = left_segments(path).map_err(failed)?;
        let next = sealed.back().map_or(0, |(number, _)| number + 1);
        let sealed = sealed.into_iter().map(|(_, segment)| Arc::new(segment)).collect();
        let state = State {
            active: Segment::empty(),
            file: None,
            sealed,
            next,
        };
        let journal = Self {
            path: path.to_owned(),
            max_bytes,
            state: Mutex::new(state),
            _lock: lock,
        };
        journal.seal_left_over().map_err(failed)?;
        Ok(journal)
    }

    fn seal_left_over(&self) -> io::Result<()> {
        let bytes = match fs::metadata(&self.path) {
            Ok(found) => found.len(),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => 0,
            Err(cause) => return Err(cause),
        };
        if bytes == 0 {
            return Ok(());
        }
        let mut state = self.state.lock();
        state.active = Segment {
            bytes,
            ..Segment::default()
        };
        state.seal(&self.path)
    }

    /// Takes the events to disk, or holds them in memory when the disk refuses; drops what is over the limits.
    pub fn append(&self, events: Vec<RecordEvent>) -> (Taken, io::Result<()>) {
        let count = events.len() as u64;
        let lines = render(&events);
        let mut state = self.state.lock();
        if state.bytes() + lines.len() as u64 > self.max_bytes {
            return (
                Taken {
                    dropped: count,
                    ..Taken::default()
                },
                Ok(()),
            );
        }
        let written = state.write(&self.path, &lines);
        let taken = match &written {
            Ok(()) => {
                state.active.remember(events);
                Taken {
                    journalled: count,
                    ..Taken::default()
                }
            }
            Err(_) => match state.hold(&self.path, events) {
                true => Taken {
                    unwritten: count,
                    ..Taken::default()
                },
                false => Taken {
                    dropped: count,
                    ..Taken::default()
                },
            },
        };
        if written.is_ok() && state.active.bytes >= SEGMENT_BYTES {
            return (taken, state.seal(&self.path));
        }
        (taken, written)
    }

    /// Sees to it that what was written survives a loss of power.
    pub fn sync(&self) -> io::Result<()> {
        let file = self.state.lock().file.as_ref().map(File::try_clone).transpose()?;
        file.map_or(Ok(()), |file| file.sync_data())
    }

    /// The oldest run of events that is to be delivered.
    pub fn front(&self) -> io::Result<Option<Arc<Segment>>> {
        let mut state = self.state.lock();
        if state.sealed.is_empty() && !state.active.is_empty() {
            state.seal(&self.path)?;
        }
        Ok(state.sealed.front().cloned())
    }

    /// The database has all of this segment, the front one.
    pub fn delivered(&self, segment: &Arc<Segment>) -> io::Result<()> {
        let mut state = self.state.lock();
        if state
            .sealed
            .front()
            .is_some_and(|front| Arc::ptr_eq(front, segment))
        {
            state.sealed.pop_front();
        }
        segment.path.as_ref().map_or(Ok(()), fs::remove_file)
    }

    pub fn bytes(&self) -> u64 {
        self.state.lock().bytes()
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.active.bytes + self.sealed.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    fn write(&mut self, path: &Path, lines: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(private().append(true).open(path)?),
        };
        if let Err(cause) = file.write_all(lines) {
            // Part of it may be there; the next line must not begin in the middle of one.
            file.set_len(self.active.bytes)?;
            self.file = None;
            return Err(cause);
        }
        self.active.bytes += lines.len() as u64;
        Ok(())
    }

    /// Keeps what is nowhere else; false when there is no room.
    fn hold(&mut self, path: &Path, more: Vec<RecordEvent>) -> bool {
        // A segment that is on disk alone cannot be added to; a new one can. Renaming takes no space.
        if self.active.events.is_none() && self.seal(path).is_err() {
            return false;
        }
        self.active.hold(more)
    }

    /// Closes the active segment, under a name that tells its place in the order.
    fn seal(&mut self, path: &Path) -> io::Result<()> {
        if self.active.bytes > 0 {
            let name = beside(path, &format!(".{:012}", self.next));
            fs::rename(path, &name)?;
            self.active.path = Some(name);
        }
        // Where segments queue, the database is away, and memory is not the place to wait for it.
        if !self.sealed.is_empty() && !self.active.unwritten {
            self.active.events = None;
        }
        self.next += 1;
        self.file = None;
        let sealed = std::mem::replace(&mut self.active, Segment::empty());
        self.sealed.push_back(Arc::new(sealed));
        Ok(())
    }
}

/// The segments of a former process, by their number.
fn left_segments(path: &Path) -> io::Result<VecDeque<(u64, Segment)>> {
    let prefix = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix))
            .and_then(|n| n.parse().ok());
        if let Some(number) = number {
            let (path, bytes) = (Some(entry.path()), entry.metadata()?.len());
            found.push((
                number,
                Segment {
                    path,
                    bytes,
                    events: None,
                    unwritten: false,
                },
            ));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into())
}
