//! Sessions whose model is named in their first message: which model that is, whether it may be used, and how
//! another takes its place.

use crate::descriptor::{Glob, Pointer};
use crate::vocabulary::Refusal;

/// What a first message must say.
#[derive(Clone, Debug)]
pub struct SetupPlan {
    /// Where the message names the model: `/setup/model`.
    pub model: Vec<Pointer>,
    /// Taken off a name: `models/`.
    pub model_prefix: String,
    /// The models that may be named.
    pub models: Vec<Glob>,
    /// The name, without the prefix, in whose place the caller's selection goes.
    pub from_selection: String,
}

/// The model of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Named, and one that may be used. Without the prefix.
    Model(String),
    /// The caller's selection decides.
    FromSelection,
}

/// What the whole first message asks for, in whichever kind of frame it came.
pub fn read(_plan: &SetupPlan, _message: &[u8]) -> Result<Setup, Refusal> {
    todo!()
}

/// Whether a session may be for this model.
pub fn permits(_plan: &SetupPlan, _model: &str) -> bool {
    todo!()
}

/// The first message with this model in the place of the one it names, everything else as it was.
pub fn with_model(_plan: &SetupPlan, _message: &[u8], _model: &str) -> Vec<u8> {
    todo!()
}

/// Looks whether a later message would set the session up again, which nobody has checked.
#[derive(Debug)]
pub struct Again;

impl Again {
    pub fn new(_plan: &SetupPlan) -> Self {
        todo!()
    }

    /// A message begins.
    pub fn begin(&mut self) {
        todo!()
    }

    /// True as soon as the message holds what only a first one may hold.
    pub fn feed(&mut self, _bytes: &[u8]) -> bool {
        todo!()
    }
}
