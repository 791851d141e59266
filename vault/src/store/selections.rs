//! Selections: one per owner and operation.

use chrono::{DateTime, Utc};
use policies::vocabulary::{Operation, Owner};
use sqlx::types::Json;

use super::db::{Link, on};
use policies::vocabulary::Selection;

#[derive(sqlx::FromRow)]
pub(crate) struct SelectionRow {
    pub operation: String,
    pub selection: Json<Selection>,
}

pub(crate) async fn find(
    link: Link<'_>,
    owner: &Owner,
    operation: Operation,
) -> Result<Option<Selection>, sqlx::Error> {
    let row: Option<Json<Selection>> = on!(link, c => {
        sqlx::query_scalar(
            "SELECT selection FROM selections WHERE owner_kind = $1 AND owner_id = $2 AND operation = $3",
        )
        .bind(owner.kind())
        .bind(owner.id())
        .bind(operation.as_str())
        .fetch_optional(c)
        .await
    })?;
    Ok(row.map(|Json(selection)| selection))
}

pub(crate) async fn list(link: Link<'_>, owner: &Owner) -> Result<Vec<SelectionRow>, sqlx::Error> {
    on!(link, c => {
        sqlx::query_as(
            "SELECT operation, selection FROM selections
             WHERE owner_kind = $1 AND owner_id = $2 ORDER BY operation",
        )
        .bind(owner.kind())
        .bind(owner.id())
        .fetch_all(c)
        .await
    })
}

pub(crate) async fn put(
    link: Link<'_>,
    owner: &Owner,
    operation: Operation,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    on!(link, c => {
        sqlx::query(
            "INSERT INTO selections (owner_kind, owner_id, operation, selection, updated_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (owner_kind, owner_id, operation)
             DO UPDATE SET selection = excluded.selection, updated_at = excluded.updated_at",
        )
        .bind(owner.kind())
        .bind(owner.id())
        .bind(operation.as_str())
        .bind(Json(selection))
        .bind(now)
        .execute(c)
        .await
        .map(|_| ())
    })
}

pub(crate) async fn delete(link: Link<'_>, owner: &Owner, operation: Operation) -> Result<bool, sqlx::Error> {
    on!(link, c => {
        sqlx::query("DELETE FROM selections WHERE owner_kind = $1 AND owner_id = $2 AND operation = $3")
            .bind(owner.kind())
            .bind(owner.id())
            .bind(operation.as_str())
            .execute(c)
            .await
            .map(|done| done.rows_affected() > 0)
    })
}
