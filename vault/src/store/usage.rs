//! Usage events: what each attempt at a provider consumed.
//!
//! A call is one event, stored once. A WebSocket is one row too, but of many events with the same id, each with all
//! that was used up to it: whatever order they come in and however often, the row says what the last of them said.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use policies::vocabulary::{
    ClosedBy, CredentialSource, Mode, Operation, Outcome, ProviderId, UsageEvent, UserId,
};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::db::{Link, on};
use super::insert::Insertion;
use crate::error::{During, VaultError};
use crate::listing::{Cursor, UsageFilter};

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
    messages_in: Option<i64>,
    messages_out: Option<i64>,
    audio_seconds_in: Option<f64>,
    audio_seconds_out: Option<f64>,
    close_code: Option<i64>,
    closed_by: Option<String>,
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
        let count =
            |value: Option<i64>, what| value.map(u64::try_from).transpose().map_err(|_| corrupt(what));
        let code = |value: Option<i64>, what| value.map(u16::try_from).transpose().map_err(|_| corrupt(what));
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
            status: code(row.status, "status")?,
            outcome: Outcome::parse(&row.outcome).ok_or_else(|| corrupt("outcome"))?,
            bytes_in: row.bytes_in.try_into().map_err(|_| corrupt("bytes_in"))?,
            bytes_out: row.bytes_out.try_into().map_err(|_| corrupt("bytes_out"))?,
            characters: count(row.characters, "characters")?,
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
            messages_in: count(row.messages_in, "messages_in")?,
            messages_out: count(row.messages_out, "messages_out")?,
            audio_seconds_in: row.audio_seconds_in,
            audio_seconds_out: row.audio_seconds_out,
            close_code: code(row.close_code, "close_code")?,
            closed_by: match row.closed_by.as_deref() {
                Some(word) => Some(ClosedBy::parse(word).ok_or_else(|| corrupt("closed_by"))?),
                None => None,
            },
        })
    }
}

#[rustfmt::skip]
const COLUMNS: [&str; 29] = [
    "id", "at", "day", "user_id", "token_id", "provider", "model", "operation", "mode", "credential_id",
    "credential_source", "status", "outcome", "bytes_in", "bytes_out", "characters", "audio_seconds",
    "estimated_cost", "ttfb_ms", "duration_ms", "attempt", "request_id", "provider_request_id",
    "messages_in", "messages_out", "audio_seconds_in", "audio_seconds_out", "close_code", "closed_by",
];

/// What a later event of a WebSocket may say anew. None of it is in an index, so that saying it is cheap.
#[rustfmt::skip]
const GROWING: [&str; 17] = [
    "model", "status", "outcome", "bytes_in", "bytes_out", "characters", "audio_seconds", "estimated_cost",
    "ttfb_ms", "duration_ms", "provider_request_id",
    "messages_in", "messages_out", "audio_seconds_in", "audio_seconds_out", "close_code", "closed_by",
];

static INSERTION: LazyLock<Insertion> =
    LazyLock::new(|| Insertion::new("usage", &COLUMNS, "ON CONFLICT (at, id) DO NOTHING"));

static GROWTH: LazyLock<Insertion> = LazyLock::new(|| {
    let set = GROWING.map(|column| format!("{column} = excluded.{column}"));
    let unless = format!(
        "ON CONFLICT (at, id) DO UPDATE SET {}
         WHERE (excluded.closed_by IS NOT NULL, excluded.duration_ms) > (usage.closed_by IS NOT NULL, usage.duration_ms)",
        set.join(", ")
    );
    Insertion::new("usage", &COLUMNS, &unless)
});

/// What storing events came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Rows that were not there before.
    pub new: u64,
    /// Rows of WebSockets that now say more.
    pub updated: u64,
}

/// Stores events. Those that are there already stay as they are, but for WebSockets that have gone on since.
pub(crate) async fn insert(mut link: Link<'_>, events: &[&UsageEvent]) -> Result<Stored, sqlx::Error> {
    let new = write(link.again(), &INSERTION, events).await?;
    if new == events.len() as u64 {
        return Ok(Stored { new, updated: 0 });
    }
    let updated = write(link, &GROWTH, &last_of_each_socket(events)).await?;
    Ok(Stored { new, updated })
}

/// One statement cannot change a row twice, and only the last of several events matters.
fn last_of_each_socket<'a>(events: &[&'a UsageEvent]) -> Vec<&'a UsageEvent> {
    let mut last: BTreeMap<(DateTime<Utc>, Uuid), &UsageEvent> = BTreeMap::new();
    for event in events.iter().filter(|event| event.messages_in.is_some()) {
        let known = last.entry((event.at, event.id)).or_insert(event);
        if said_after(event, known) {
            *known = event;
        }
    }
    last.into_values().collect()
}

/// Whether of two events of one WebSocket the first was made later; [`GROWTH`] asks the same of a row.
fn said_after(event: &UsageEvent, other: &UsageEvent) -> bool {
    let stage = |event: &UsageEvent| (event.closed_by.is_some(), event.duration_ms);
    stage(event) > stage(other)
}

/// Returns how many rows were made or changed.
async fn write(
    mut link: Link<'_>,
    insertion: &'static Insertion,
    events: &[&UsageEvent],
) -> Result<u64, sqlx::Error> {
    let mut rows = 0;
    for (text, group) in insertion.groups(&link, events) {
        rows += on!(link.again(), c => {
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
                    .bind(event.provider_request_id.as_deref())
                    .bind(event.messages_in.map(whole))
                    .bind(event.messages_out.map(whole))
                    .bind(event.audio_seconds_in)
                    .bind(event.audio_seconds_out)
                    .bind(event.close_code.map(i64::from))
                    .bind(event.closed_by.map(|side| side.as_str()));
            }
            query.execute(c).await?.rows_affected()
        });
    }
    Ok(rows)
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

pub(super) use filtered;

pub(crate) async fn list(
    link: Link<'_>,
    filter: &UsageFilter,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<UsageEvent>, VaultError> {
    let rows: Vec<Row> = on!(link, c => {
        // By name: Postgres goes back on a prepared `*` once another node's migration has added a column.
        let mut query = QueryBuilder::new(format!("SELECT {} FROM usage WHERE 1 = 1", COLUMNS.join(", ")));
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
