//! Usage events: what each attempt at a provider consumed, and sums over them.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use policies::vocabulary::{CredentialSource, Mode, Operation, Outcome, ProviderId, UsageEvent, UserId};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::db::{Link, on};
use super::insert::Insertion;
use crate::error::{During, VaultError};
use crate::listing::{Cursor, GroupBy, UsageFilter, UsageSummary};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    at: DateTime<Utc>,
    user_id: String,
    token_id: Option<Uuid>,
    provider: String,
    model: Option<String>,
    operation: String,
    mode: String,
    credential_id: Option<Uuid>,
    credential_source: String,
    status: Option<i64>,
    outcome: String,
    bytes_in: i64,
    bytes_out: i64,
    characters: Option<i64>,
    audio_seconds: Option<f64>,
    estimated_cost: Option<f64>,
    ttfb_ms: Option<i64>,
    duration_ms: i64,
    attempt: i64,
    request_id: Uuid,
    provider_request_id: Option<String>,
}

impl TryFrom<Row> for UsageEvent {
    type Error = VaultError;

    fn try_from(row: Row) -> Result<Self, VaultError> {
        let id = row.id;
        let corrupt = |what: &str| VaultError::Corrupt {
            table: "usage",
            id: id.to_string(),
            what: format!("{what} makes no sense"),
        };
        Ok(Self {
            id,
            at: row.at,
            user: UserId::new(row.user_id),
            token_id: row.token_id,
            provider: ProviderId::new(row.provider),
            model: row.model,
            operation: Operation::parse(&row.operation).ok_or_else(|| corrupt("operation"))?,
            mode: Mode::parse(&row.mode).ok_or_else(|| corrupt("mode"))?,
            credential_id: row.credential_id,
            credential_source: CredentialSource::parse(&row.credential_source)
                .ok_or_else(|| corrupt("credential_source"))?,
            status: row
                .status
                .map(u16::try_from)
                .transpose()
                .map_err(|_| corrupt("status"))?,
            outcome: Outcome::parse(&row.outcome).ok_or_else(|| corrupt("outcome"))?,
            bytes_in: row.bytes_in.try_into().map_err(|_| corrupt("bytes_in"))?,
            bytes_out: row.bytes_out.try_into().map_err(|_| corrupt("bytes_out"))?,
            characters: row
                .characters
                .map(u64::try_from)
                .transpose()
                .map_err(|_| corrupt("characters"))?,
            audio_seconds: row.audio_seconds,
            estimated_cost: row.estimated_cost,
            ttfb_ms: row
                .ttfb_ms
                .map(u32::try_from)
                .transpose()
                .map_err(|_| corrupt("ttfb_ms"))?,
            duration_ms: row.duration_ms.try_into().map_err(|_| corrupt("duration_ms"))?,
            attempt: row.attempt.try_into().map_err(|_| corrupt("attempt"))?,
            request_id: row.request_id,
            provider_request_id: row.provider_request_id,
            messages_in: None,
            messages_out: None,
            audio_seconds_in: None,
            audio_seconds_out: None,
            close_code: None,
            closed_by: None,
        })
    }
}

#[rustfmt::skip]
const COLUMNS: [&str; 23] = [
    "id", "at", "day", "user_id", "token_id", "provider", "model", "operation", "mode", "credential_id",
    "credential_source", "status", "outcome", "bytes_in", "bytes_out", "characters", "audio_seconds",
    "estimated_cost", "ttfb_ms", "duration_ms", "attempt", "request_id", "provider_request_id",
];

static INSERTION: LazyLock<Insertion> =
    LazyLock::new(|| Insertion::new("usage", &COLUMNS, "ON CONFLICT (at, id) DO NOTHING"));

/// Stores events; those that are there already stay as they are. Returns how many were new.
pub(crate) async fn insert(mut link: Link<'_>, events: &[&UsageEvent]) -> Result<u64, sqlx::Error> {
    let mut new = 0;
    for (text, group) in INSERTION.groups(&link, events) {
        new += on!(link.again(), c => {
            let mut query = sqlx::query(text);
            for event in group {
                query = query
                    .bind(event.id)
                    .bind(crate::clock::to_microseconds(event.at))
                    .bind(event.at.date_naive().to_string())
                    .bind(event.user.as_str())
                    .bind(event.token_id)
                    .bind(event.provider.as_str())
                    .bind(event.model.as_deref())
                    .bind(event.operation.as_str())
                    .bind(event.mode.as_str())
                    .bind(event.credential_id)
                    .bind(event.credential_source.as_str())
                    .bind(event.status.map(i64::from))
                    .bind(event.outcome.as_str())
                    .bind(whole(event.bytes_in))
                    .bind(whole(event.bytes_out))
                    .bind(event.characters.map(whole))
                    .bind(event.audio_seconds)
                    .bind(event.estimated_cost)
                    .bind(event.ttfb_ms.map(i64::from))
                    .bind(i64::from(event.duration_ms))
                    .bind(i64::from(event.attempt))
                    .bind(event.request_id)
                    .bind(event.provider_request_id.as_deref());
            }
            query.execute(c).await?.rows_affected()
        });
    }
    Ok(new)
}

/// No count comes near the limit; one that did would be no count.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Adds the filter's conditions to a query; a macro, for the query's type differs between databases.
macro_rules! filtered {
    ($query:ident, $filter:ident) => {
        if let Some(user) = &$filter.user {
            $query.push(" AND user_id = ").push_bind(user.as_str());
        }
        if let Some(provider) = &$filter.provider {
            $query.push(" AND provider = ").push_bind(provider.as_str());
        }
        if let Some(model) = &$filter.model {
            $query.push(" AND model = ").push_bind(model.as_str());
        }
        if let Some(operation) = $filter.operation {
            $query.push(" AND operation = ").push_bind(operation.as_str());
        }
        if let Some(from) = $filter.from {
            $query.push(" AND at >= ").push_bind(from);
        }
        if let Some(to) = $filter.to {
            $query.push(" AND at < ").push_bind(to);
        }
    };
}

pub(crate) async fn list(
    link: Link<'_>,
    filter: &UsageFilter,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<UsageEvent>, VaultError> {
    let rows: Vec<Row> = on!(link, c => {
        let mut query = QueryBuilder::new("SELECT * FROM usage WHERE 1 = 1");
        filtered!(query, filter);
        if let Some(after) = after {
            query.push(" AND (at, id) < (").push_bind(after.at).push(", ").push_bind(after.id).push(")");
        }
        query.push(" ORDER BY at DESC, id DESC LIMIT ").push_bind(limit);
        query.build_query_as().fetch_all(c).await
    })
    .during("reading the usage record")?;
    rows.into_iter().map(UsageEvent::try_from).collect()
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    day: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    operation: Option<String>,
    user_id: Option<String>,
    calls: i64,
    errors: i64,
    characters: i64,
    audio_seconds: f64,
    estimated_cost: f64,
    bytes_in: i64,
    bytes_out: i64,
}

impl From<SummaryRow> for UsageSummary {
    fn from(row: SummaryRow) -> Self {
        Self {
            day: row
                .day
                .and_then(|day| NaiveDate::parse_from_str(&day, "%Y-%m-%d").ok()),
            provider: row.provider.map(ProviderId::new),
            model: row.model,
            operation: row.operation.as_deref().and_then(Operation::parse),
            user: row.user_id.map(UserId::new),
            calls: row.calls,
            errors: row.errors,
            characters: row.characters,
            audio_seconds: row.audio_seconds,
            estimated_cost: row.estimated_cost,
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
        }
    }
}

const KEYS: [(GroupBy, &str); 5] = [
    (GroupBy::Day, "day"),
    (GroupBy::Provider, "provider"),
    (GroupBy::Model, "model"),
    (GroupBy::Operation, "operation"),
    (GroupBy::User, "user_id"),
];

/// Newest day first, then in the order of what is grouped by.
pub(crate) async fn summarise(
    link: Link<'_>,
    filter: &UsageFilter,
    group_by: &[GroupBy],
) -> Result<Vec<UsageSummary>, sqlx::Error> {
    let grouped = KEYS.map(|(group, column)| match group_by.contains(&group) {
        true => column.to_owned(),
        false => format!("CAST(NULL AS TEXT) AS {column}"),
    });
    let keys: Vec<&str> = KEYS
        .iter()
        .filter(|(group, _)| group_by.contains(group))
        .map(|(_, column)| *column)
        .collect();
    let rows: Vec<SummaryRow> = on!(link, c => {
        let mut query = QueryBuilder::new("SELECT ");
        query.push(grouped.join(", ")).push(
            ", COUNT(*) AS calls,
             CAST(COALESCE(SUM(CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END), 0) AS BIGINT) AS errors,
             CAST(COALESCE(SUM(characters), 0) AS BIGINT) AS characters,
             CAST(COALESCE(SUM(audio_seconds), 0) AS DOUBLE PRECISION) AS audio_seconds,
             CAST(COALESCE(SUM(estimated_cost), 0) AS DOUBLE PRECISION) AS estimated_cost,
             CAST(COALESCE(SUM(bytes_in), 0) AS BIGINT) AS bytes_in,
             CAST(COALESCE(SUM(bytes_out), 0) AS BIGINT) AS bytes_out
             FROM usage WHERE 1 = 1",
        );
        filtered!(query, filter);
        if !keys.is_empty() {
            query.push(" GROUP BY ").push(keys.join(", "));
            query.push(" ORDER BY ").push(keys.join(", ").replace("day", "day DESC"));
        }
        query.build_query_as().fetch_all(c).await
    })?;
    Ok(rows.into_iter().map(UsageSummary::from).collect())
}
