//! What a user or team speaks and transcribes with: provider, model, voice, and what to fall back on.

mod check;
pub mod delete;
pub mod list;
pub mod put;
pub mod read;

use policies::vocabulary::{Code, Operation};

use crate::problem::Problem;

/// The operations that people choose for; lookups follow from them.
pub fn parse(text: &str) -> Option<Operation> {
    Operation::parse(text).filter(|operation| *operation != Operation::Lookup)
}

/// The operation that a path names.
pub fn operation(text: &str) -> Result<Operation, Problem> {
    parse(text).ok_or_else(|| Problem::new(Code::NotFound, "selections are tts and stt"))
}

fn none_selected(operation: Operation) -> Problem {
    Problem::new(Code::NotFound, format!("nothing is selected for {operation}"))
}
