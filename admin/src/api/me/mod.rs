//! The caller, as its proof shows it.

pub mod read;
