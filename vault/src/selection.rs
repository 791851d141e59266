//! What a user or team chose to speak or transcribe with, and what to fall back on.

use policies::vocabulary::ProviderId;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub provider: ProviderId,
    pub model: Option<String>,
    pub voice: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub provider: ProviderId,
    pub model: Option<String>,
    pub voice: Option<String>,
    /// Tried in order.
    #[serde(default)]
    pub fallbacks: Vec<Choice>,
}
