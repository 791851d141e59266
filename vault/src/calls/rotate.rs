use policies::vocabulary::Actor;

use super::check::Finding;
use crate::error::VaultError;
use crate::vault::Vault;

/// What a rotation did.
#[derive(Clone, Debug, Default)]
pub struct RotateReport {
    /// The id of the master key that is current now.
    pub current: String,
    /// An earlier rotation had been interrupted and was finished; no new key was made.
    pub resumed: bool,
    pub rewrapped: u64,
    /// Credentials that do not open and were left as they are.
    pub failed: Vec<Finding>,
    /// Master keys that nothing uses any more, taken out of the file.
    pub retired: Vec<String>,
    /// Older master keys that stay in the file, with the number of credentials that need each.
    pub kept: Vec<(String, u64)>,
}

impl Vault {
    /// Makes a new master key current and rewraps every credential while traffic flows.
    pub async fn rotate(&self, by: &Actor) -> Result<RotateReport, VaultError> {
        todo!()
    }
}
