//! The control plane: people and their applications bring keys, choose voices, make tokens and read the record.
//!
//! [`start`] serves it on a listener of its own. Everything under `/api/v1` is one table of calls in [`api`];
//! a call's scopes stand beside its path there, and no call is reached before its caller is proven.
//! [`validation`] is how a key gets in, `catalogue` the only way out to a provider.

mod answer;
mod api;
mod caller;
mod effective;
mod pages;
mod params;
mod problem;
mod serve;
mod telemetry;
mod trouble;
mod validation;

#[cfg(test)]
mod harness;

use std::sync::Arc;

use callers::{Callers, RefusalBudget};
use catalogue::Catalogue;
use policies::descriptor::{Provider, Providers};
use policies::vocabulary::{Actor, AuditAction, AuditEvent, AuditOutcome, Code};
use uuid::Uuid;
use vault::{Clock, Vault};

use crate::problem::Problem;
use crate::telemetry::Telemetry;

pub use serve::{AdminSettings, Running, StartError, start};

/// What every call may need. One per listener.
pub(crate) struct Admin {
    public_url: String,
    providers: Arc<Providers>,
    vault: Vault,
    callers: Callers,
    clock: Arc<dyn Clock>,
    catalogue: Catalogue,
    strangers: RefusalBudget,
    telemetry: Telemetry,
    registry: prometheus::Registry,
}

impl Admin {
    fn provider(&self, id: &str) -> Result<&Arc<Provider>, Problem> {
        self.providers.get(id).ok_or_else(|| {
            Problem::new(
                Code::UnknownProvider,
                "no provider has that id; GET /api/v1/providers lists them",
            )
        })
    }

    /// An audit event with nothing but who, when and what.
    fn audit_event(&self, by: &Actor, action: AuditAction, outcome: AuditOutcome) -> AuditEvent {
        AuditEvent {
            id: Uuid::now_v7(),
            at: self.clock.now(),
            user: by.user.clone(),
            action,
            outcome,
            owner: None,
            provider: None,
            ip: by.ip,
            request_id: by.request_id,
            detail: None,
        }
    }
}
