//! Which master keys seal what is in this database.

use chrono::{DateTime, Utc};

use super::db::{Link, on};

#[derive(sqlx::FromRow)]
pub(crate) struct KnownKey {
    pub id: String,
    pub proof: Vec<u8>,
}

pub(crate) async fn list(link: Link<'_>) -> Result<Vec<KnownKey>, sqlx::Error> {
    on!(link, c => sqlx::query_as("SELECT id, proof FROM master_keys ORDER BY id").fetch_all(c).await)
}

pub(crate) async fn insert(
    link: Link<'_>,
    id: &str,
    created_at: DateTime<Utc>,
    proof: &[u8],
) -> Result<(), sqlx::Error> {
    on!(link, c => {
        sqlx::query(
            "INSERT INTO master_keys (id, created_at, proof) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        )
        .bind(id)
        .bind(created_at)
        .bind(proof)
        .execute(c)
        .await
        .map(|_| ())
    })
}

/// Forgets every key but this one; fails when a credential refers to another.
pub(crate) async fn delete_others(link: Link<'_>, current: &str) -> Result<(), sqlx::Error> {
    on!(link, c => {
        sqlx::query("DELETE FROM master_keys WHERE id <> $1").bind(current).execute(c).await.map(|_| ())
    })
}

/// Forgets the keys that no credential refers to, but the current one; returns their ids.
pub(crate) async fn delete_unused(link: Link<'_>, current: &str) -> Result<Vec<String>, sqlx::Error> {
    on!(link, c => {
        sqlx::query_scalar(
            "DELETE FROM master_keys
             WHERE id <> $1 AND NOT EXISTS (SELECT 1 FROM credentials WHERE credentials.kek_id = master_keys.id)
             RETURNING id",
        )
        .bind(current)
        .fetch_all(c)
        .await
    })
}
