//! Storage, encryption and evidence: keys at rest, who may use them, and what was done with them.
//!
//! [`Vault`] is the one way in. Its `cached_*` calls are for every request: they look into memory and nothing
//! else. Everything that changes or reads a credential, selection or token writes its audit event in the same
//! transaction. What calls consumed goes through a journal on disk to the database.

mod cache;
mod calls;
mod clock;
mod credential;
mod delivery;
mod envelope;
mod error;
mod files;
mod journal;
mod key_check;
mod key_file;
mod keyring;
mod listing;
mod opening;
mod recorder;
mod revisions;
pub mod secret;
mod segment;
mod store;
pub mod telemetry;
pub mod token;
mod vault;

pub use calls::check::Finding;
pub use calls::rotate::RotateReport;
pub use clock::{Chance, Clock, FrozenClock, NoChance, SystemChance, SystemClock};
pub use credential::{Credential, CredentialRow, NewCredential, SystemKey};
pub use error::{OpenError, VaultError};
pub use key_file::KeyringError;
pub use listing::{AuditFilter, GroupBy, NewToken, Page, PageRequest, TokenRow, UsageFilter, UsageSummary};
pub use secret::Secret;
pub use token::{PlainToken, TokenHash};
pub use vault::{Checkable, Vault, VaultSettings};
