//! `GET /v1/models`: what the caller can call now.

use serde_json::{Value, json};

use crate::vocabulary::ProviderId;

/// The model that stands for the caller's selection.
const DEFAULT: &str = "default";

/// A model that the caller's credential reaches.
#[derive(Clone, Debug)]
pub struct Listed {
    pub provider: ProviderId,
    /// The provider's id.
    pub owned_by: String,
    pub model: String,
}

/// The list, `default` first.
pub fn models_json(listed: &[Listed]) -> String {
    let data: Vec<_> = [default()].into_iter().chain(listed.iter().map(entry)).collect();
    json!({"object": "list", "data": data}).to_string()
}

/// One of the list by its id; `None`: it is not on it.
pub fn model_json(id: &str, listed: &[Listed]) -> Option<String> {
    if id == DEFAULT {
        return Some(default().to_string());
    }
    // Ids of providers hold no slash; those of models may.
    let (provider, model) = id.split_once('/')?;
    let found = listed
        .iter()
        .find(|known| known.provider.as_str() == provider && known.model == model);
    found.map(|known| entry(known).to_string())
}

fn default() -> Value {
    model(DEFAULT, "voxgate")
}

fn entry(listed: &Listed) -> Value {
    model(&format!("{}/{}", listed.provider, listed.model), &listed.owned_by)
}

/// SDKs require when it was created, which providers do not say.
fn model(id: &str, owned_by: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": owned_by})
}
