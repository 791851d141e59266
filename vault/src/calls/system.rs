//! System-level keys: from the configuration, in memory only, the last resort of callers without their own.

use std::collections::HashMap;
use std::sync::Arc;

use policies::vocabulary::{
    Actor, AuditAction, AuditEvent, Code, CredentialStatus, Owner, ProviderId, RecordEvent,
};

use super::status::status_text;
use crate::credential::{Credential, SystemKey};
use crate::vault::Vault;

/// Each set of them has a version, by which what was learnt with one key is not taken for the next one's.
pub(crate) fn opened(keys: Vec<SystemKey>, version: i64) -> HashMap<ProviderId, Arc<Credential>> {
    keys.into_iter()
        .map(|key| (key.provider.clone(), Arc::new(credential(key, version))))
        .collect()
}

fn credential(key: SystemKey, version: i64) -> Credential {
    Credential {
        id: None,
        owner: Owner::System,
        provider: key.provider,
        version,
        status: CredentialStatus::Valid,
        status_reason: None,
        settings: key.settings,
        hosts: key.hosts,
        secret: Arc::new(key.secret),
        bound_elsewhere: false,
    }
}

impl Vault {
    pub fn system_credential(&self, provider: &ProviderId) -> Option<Arc<Credential>> {
        self.0.system.read().get(provider).cloned()
    }

    /// Puts other system-level keys in the place of those the vault was opened with.
    pub fn replace_system(&self, keys: Vec<SystemKey>) {
        *self.0.system.write() = opened(keys, self.0.now().timestamp_micros());
        self.0.generations.move_mark();
    }

    /// The status of a system-level key is kept until the process ends, and each change of it is on record.
    pub(crate) fn note_system_status(
        &self,
        by: &Actor,
        noted: &Credential,
        status: CredentialStatus,
        reason: Option<Code>,
    ) {
        let mut system = self.0.system.write();
        let Some(known) = system.get_mut(&noted.provider) else {
            return;
        };
        let replaced = !Arc::ptr_eq(&known.secret, &noted.secret);
        if replaced || (known.status == status && known.status_reason == reason) {
            return;
        }
        *known = Arc::new(Credential {
            status,
            status_reason: reason,
            ..Credential::clone(known)
        });
        drop(system);
        let event = AuditEvent {
            detail: Some(status_text(status, reason)),
            ..self.credential_event(
                by,
                AuditAction::CredentialStatus,
                &Owner::System,
                Some(&noted.provider),
            )
        };
        self.record(RecordEvent::Audit(Box::new(event)));
    }
}
