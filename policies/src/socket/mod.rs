//! WebSockets, read while they pass: where frames begin and end, what in them must not pass, which model a
//! session is for, what it consumes, and what a provider says in them about the key.
//!
//! Nothing here holds more of a message than a few bytes, but for the first one where a session is decided by it.

pub mod frames;
pub mod setup;

mod again;
mod first;
mod headed;
mod meter;
mod parts;
mod passage;
mod scrub;
mod seconds;

pub use first::{First, FirstMessage};
pub use meter::{Heard, Side, SocketMeter, SocketReading};
pub use passage::{Ear, Passage, Violation};
