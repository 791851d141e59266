//! The record: events taken in, and read back.

use policies::vocabulary::{AuditEvent, RecordEvent, UsageEvent};

use crate::error::{During, VaultError};
use crate::listing::{AuditFilter, Cursor, GroupBy, Page, PageRequest, UsageFilter, UsageSummary};
use crate::store::db::within;
use crate::store::{audit, usage, usage_sums};
use crate::vault::Vault;

impl Vault {
    /// Never blocks and wakes nobody. In the journal within 50 ms, in the database soon after.
    pub fn record(&self, event: RecordEvent) {
        match &self.0.recorder {
            Some(recorder) => recorder.offer(event),
            None => self.0.metrics.usage_events.dropped_queue.inc(),
        }
    }

    /// Stores an audit event that belongs to no change, such as a refusal, before the answer goes out.
    pub async fn audit(&self, event: AuditEvent) -> Result<(), VaultError> {
        const DOING: &str = "storing an audit event";
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            audit::insert(tx.link(), &[&event]).await.during(DOING)?;
            tx.commit(DOING).await
        })
        .await
    }

    pub async fn read_audit(&self, filter: AuditFilter) -> Result<Page<AuditEvent>, VaultError> {
        const DOING: &str = "reading the audit record";
        let page = PageRequest {
            cursor: filter.cursor.clone(),
            limit: filter.limit,
        };
        let after = page.after()?;
        within(DOING, async {
            let mut reader = self.0.db.read(DOING).await?;
            let events = audit::list(reader.link(), &filter, after, page.fetch()).await?;
            Ok(page.page(events, |event| Cursor {
                at: event.at,
                id: event.id,
            }))
        })
        .await
    }

    pub async fn read_usage(&self, filter: UsageFilter) -> Result<Page<UsageEvent>, VaultError> {
        const DOING: &str = "reading the usage record";
        let page = PageRequest {
            cursor: filter.cursor.clone(),
            limit: filter.limit,
        };
        let after = page.after()?;
        within(DOING, async {
            let mut reader = self.0.db.read(DOING).await?;
            let events = usage::list(reader.link(), &filter, after, page.fetch()).await?;
            Ok(page.page(events, |event| Cursor {
                at: event.at,
                id: event.id,
            }))
        })
        .await
    }

    /// Sums over all that the filter lets through; its cursor and limit are not looked at.
    pub async fn summarise_usage(
        &self,
        filter: UsageFilter,
        group_by: &[GroupBy],
    ) -> Result<Vec<UsageSummary>, VaultError> {
        const DOING: &str = "summing up the usage record";
        within(DOING, async {
            let mut reader = self.0.db.read(DOING).await?;
            usage_sums::summarise(reader.link(), &filter, group_by)
                .await
                .during(DOING)
        })
        .await
    }
}
