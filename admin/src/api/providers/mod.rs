//! What there is to choose from: providers, and the models and voices that the caller's credential reaches.

pub mod list;
pub mod models;
pub mod voices;
