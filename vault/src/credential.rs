//! A credential in its three forms: what is to be stored, what anyone entitled may see, what pays for a call.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use policies::descriptor::{Hosts, Settings};
use policies::vocabulary::{Code, CredentialId, CredentialStatus, Owner, ProviderId};

use crate::secret::Secret;

/// A key that its provider has confirmed, on its way into the database.
#[derive(Debug)]
pub struct NewCredential {
    pub owner: Owner,
    pub provider: ProviderId,
    pub secret: Secret,
    pub settings: Settings,
    /// The hosts it was confirmed with, and the only ones it will ever be sent to.
    pub hosts: Hosts,
    /// What the key may not do although it is valid: a restriction, an exhausted quota.
    pub status_reason: Option<Code>,
    pub status_detail: Option<String>,
}

/// Everything about a stored credential but the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    pub id: CredentialId,
    pub owner: Owner,
    pub provider: ProviderId,
    /// Grows with each replacement, also across deletion.
    pub version: i64,
    pub masked_key: String,
    pub settings: Settings,
    pub status: CredentialStatus,
    pub status_reason: Option<Code>,
    pub status_detail: Option<String>,
    pub last_validated_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// An opened credential. Lives in the cache and in calls under way, and is wiped when the last of them drops it.
#[derive(Clone, Debug)]
pub struct Credential {
    /// `None` for a system-level key from the configuration.
    pub id: Option<CredentialId>,
    pub owner: Owner,
    pub provider: ProviderId,
    pub version: i64,
    pub status: CredentialStatus,
    pub status_reason: Option<Code>,
    pub settings: Settings,
    /// The hosts that the seal authenticates.
    pub hosts: Hosts,
    pub secret: Arc<Secret>,
    /// The descriptor now resolves to other hosts than the key was sealed for; it must be stored again.
    pub bound_elsewhere: bool,
}

/// A system-level key from the configuration: the last resort of callers who have none of their own.
#[derive(Debug)]
pub struct SystemKey {
    pub provider: ProviderId,
    pub secret: Secret,
    pub settings: Settings,
    pub hosts: Hosts,
}
