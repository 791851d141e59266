//! `GET /v1/models`: what the caller can call now.

use crate::vocabulary::ProviderId;

/// A model that the caller's credential reaches.
#[derive(Clone, Debug)]
pub struct Listed {
    pub provider: ProviderId,
    /// The provider's name for people.
    pub owned_by: String,
    pub model: String,
}

/// The list, `default` first.
pub fn models_json(_listed: &[Listed]) -> String {
    todo!()
}

/// One of the list by its id; `None`: it is not on it.
pub fn model_json(_id: &str, _listed: &[Listed]) -> Option<String> {
    todo!()
}
