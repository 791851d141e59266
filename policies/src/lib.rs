//! What Voxgate may do, decided without doing it: no async, no I/O, no clock, no randomness.
//!
//! A provider is a [`descriptor`], a request is judged by [`rules`], turned into what goes upstream
//! by [`rewrite`], and counted by [`meter`] while it passes. [`vocabulary`] holds the ids, small types
//! and codes that every other crate shares.

mod causes;
pub mod descriptor;
pub mod meter;
mod places;
pub mod rewrite;
pub mod rules;
pub mod socket;
pub mod unified;
pub mod vocabulary;

pub use causes::with_causes;
