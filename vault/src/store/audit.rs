//! Audit events: who did or was refused what.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use policies::vocabulary::{AuditAction, AuditEvent, AuditOutcome, Owner, ProviderId, UserId};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::db::{Link, on};
use super::insert::Insertion;
use crate::error::{During, VaultError};
use crate::listing::{AuditFilter, Cursor};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    at: DateTime<Utc>,
    user_id: Option<String>,
    action: String,
    outcome: String,
    owner: Option<String>,
    provider: Option<String>,
    ip: Option<String>,
    request_id: Uuid,
    detail: Option<String>,
}

impl TryFrom<Row> for AuditEvent {
    type Error = VaultError;

    fn try_from(row: Row) -> Result<Self, VaultError> {
        let corrupt = |what: &str| VaultError::Corrupt {
            table: "audit",
            id: row.id.to_string(),
            what: what.to_owned(),
        };
        Ok(Self {
            id: row.id,
            at: row.at,
            user: row.user_id.map(UserId::new),
            action: AuditAction::parse(&row.action).ok_or_else(|| corrupt("unknown action"))?,
            outcome: AuditOutcome::parse(&row.outcome).ok_or_else(|| corrupt("unknown outcome"))?,
            ip: match row.ip.as_deref() {
                Some(ip) => Some(ip.parse().map_err(|_| corrupt("ip is no address"))?),
                None => None,
            },
            owner: row.owner,
            provider: row.provider.map(ProviderId::new),
            request_id: row.request_id,
            detail: row.detail,
        })
    }
}

#[rustfmt::skip]
const COLUMNS: [&str; 10] = [
    "id", "at", "user_id", "action", "outcome", "owner", "provider", "ip", "request_id", "detail",
];

static INSERTION: LazyLock<Insertion> =
    LazyLock::new(|| Insertion::new("audit", &COLUMNS, "ON CONFLICT (id) DO NOTHING"));

/// Stores events; those that are there already, by their id, stay as they are. Returns how many were new.
pub(crate) async fn insert(mut link: Link<'_>, events: &[&AuditEvent]) -> Result<u64, sqlx::Error> {
    let mut new = 0;
    for (text, group) in INSERTION.groups(&link, events) {
        new += on!(link.again(), c => {
            let mut query = sqlx::query(text);
            for event in group {
                query = query
                    .bind(event.id)
                    .bind(crate::clock::to_microseconds(event.at))
                    .bind(event.user.as_ref().map(UserId::as_str))
                    .bind(event.action.as_str())
                    .bind(event.outcome.as_str())
                    .bind(event.owner.as_deref())
                    .bind(event.provider.as_ref().map(ProviderId::as_str))
                    .bind(event.ip.map(|ip| ip.to_string()))
                    .bind(event.request_id)
                    .bind(event.detail.as_deref());
            }
            query.execute(c).await?.rows_affected()
        });
    }
    Ok(new)
}

pub(crate) async fn list(
    link: Link<'_>,
    filter: &AuditFilter,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<AuditEvent>, VaultError> {
    let rows: Vec<Row> = on!(link, c => {
        let mut query = QueryBuilder::new(
            "SELECT id, at, user_id, action, outcome, owner, provider, ip, request_id, detail
             FROM audit WHERE 1 = 1",
        );
        if let Some(user) = &filter.owner {
            query.push(" AND (user_id = ").push_bind(user.as_str());
            query.push(" OR owner = ").push_bind(Owner::User(user.clone()).to_string()).push(")");
        }
        if let Some(action) = filter.action {
            query.push(" AND action = ").push_bind(action.as_str());
        }
        if let Some(provider) = &filter.provider {
            query.push(" AND provider = ").push_bind(provider.as_str());
        }
        if let Some(from) = filter.from {
            query.push(" AND at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            query.push(" AND at < ").push_bind(to);
        }
        if let Some(after) = after {
            query.push(" AND (at, id) < (").push_bind(after.at).push(", ").push_bind(after.id).push(")");
        }
        query.push(" ORDER BY at DESC, id DESC LIMIT ").push_bind(limit);
        query.build_query_as().fetch_all(c).await
    })
    .during("reading the audit record")?;
    rows.into_iter().map(AuditEvent::try_from).collect()
}
