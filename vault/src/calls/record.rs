use policies::vocabulary::{AuditEvent, RecordEvent, UsageEvent};

use crate::error::VaultError;
use crate::listing::{AuditFilter, GroupBy, Page, UsageFilter, UsageSummary};
use crate::vault::Vault;

impl Vault {
    /// Never blocks. In the journal within 50 ms, in the database soon after.
    pub fn record(&self, event: RecordEvent) {
        todo!()
    }
    pub async fn audit(&self, event: AuditEvent) -> Result<(), VaultError> {
        todo!()
    }
    pub async fn read_audit(&self, filter: AuditFilter) -> Result<Page<AuditEvent>, VaultError> {
        todo!()
    }
    pub async fn read_usage(&self, filter: UsageFilter) -> Result<Page<UsageEvent>, VaultError> {
        todo!()
    }
    /// Its page is not looked at.
    pub async fn summarise_usage(&self, filter: UsageFilter, group_by: &[GroupBy]) -> Result<Vec<UsageSummary>, VaultError> {
        todo!()
    }
}
