//! Who did what to which credential, selection or token, and what was refused.

pub mod list;
