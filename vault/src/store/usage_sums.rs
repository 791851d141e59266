//! Sums over usage events, by any of the keys that a summary can be grouped by.

use chrono::NaiveDate;
use policies::vocabulary::{Operation, ProviderId, UserId};
use sqlx::QueryBuilder;

use super::db::{Link, on};
use super::usage::filtered;
use crate::listing::{GroupBy, UsageFilter, UsageSummary};

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
