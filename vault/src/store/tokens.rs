//! Access tokens, of which only the hash is here.

use chrono::{DateTime, Utc};
use policies::vocabulary::{Scope, TeamId, TokenId, UserId};
use sqlx::QueryBuilder;
use sqlx::types::Json;

use super::db::{Link, on};
use crate::listing::{Cursor, TokenRow};
use crate::token::TokenHash;

#[derive(sqlx::FromRow)]
struct Row {
    id: TokenId,
    user_id: String,
    name: String,
    prefix: String,
    scopes: Option<Json<Vec<Scope>>>,
    roles: Json<Vec<String>>,
    teams: Json<Vec<TeamId>>,
    admin_of: Json<Vec<TeamId>>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<Row> for TokenRow {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            user: UserId::new(row.user_id),
            name: row.name,
            prefix: row.prefix,
            scopes: row.scopes.map(|Json(scopes)| scopes),
            roles: row.roles.0,
            teams: row.teams.0,
            admin_of: row.admin_of.0,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        }
    }
}

pub(crate) async fn insert(link: Link<'_>, token: &TokenRow, hash: &TokenHash) -> Result<(), sqlx::Error> {
    on!(link, c => {
        sqlx::query(
            "INSERT INTO tokens (id, hash, user_id, name, prefix, scopes, roles, teams, admin_of,
                                 created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(token.id)
        .bind(hash.as_bytes().as_slice())
        .bind(token.user.as_str())
        .bind(&token.name)
        .bind(&token.prefix)
        .bind(token.scopes.as_ref().map(Json))
        .bind(Json(&token.roles))
        .bind(Json(&token.teams))
        .bind(Json(&token.admin_of))
        .bind(token.created_at)
        .bind(token.expires_at)
        .execute(c)
        .await
        .map(|_| ())
    })
}

/// The token of this hash, unless it was revoked.
pub(crate) async fn find(link: Link<'_>, hash: &TokenHash) -> Result<Option<TokenRow>, sqlx::Error> {
    let row: Option<Row> = on!(link, c => {
        sqlx::query_as("SELECT * FROM tokens WHERE hash = $1 AND revoked_at IS NULL")
            .bind(hash.as_bytes().as_slice())
            .fetch_optional(c)
            .await
    })?;
    Ok(row.map(TokenRow::from))
}

/// A user's tokens that are not revoked, newest first.
pub(crate) async fn list(
    link: Link<'_>,
    user: &UserId,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<TokenRow>, sqlx::Error> {
    let rows: Vec<Row> = on!(link, c => {
        let mut query = QueryBuilder::new("SELECT * FROM tokens WHERE revoked_at IS NULL AND user_id = ");
        query.push_bind(user.as_str());
        if let Some(after) = after {
            query.push(" AND (created_at, id) < (").push_bind(after.at);
            query.push(", ").push_bind(after.id).push(")");
        }
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(limit);
        query.build_query_as().fetch_all(c).await
    })?;
    Ok(rows.into_iter().map(TokenRow::from).collect())
}

#[derive(sqlx::FromRow)]
struct Revoked {
    hash: Vec<u8>,
    user_id: String,
}

/// The hash and user of the token that this revoked; `None` when there was nothing to revoke.
pub(crate) async fn revoke(
    link: Link<'_>,
    id: TokenId,
    user: Option<&UserId>,
    now: DateTime<Utc>,
) -> Result<Option<(Vec<u8>, UserId)>, sqlx::Error> {
    let revoked: Option<Revoked> = on!(link, c => {
        sqlx::query_as(
            "UPDATE tokens SET revoked_at = $1
             WHERE id = $2 AND revoked_at IS NULL AND user_id = COALESCE($3, user_id)
             RETURNING hash, user_id",
        )
        .bind(now)
        .bind(id)
        .bind(user.map(UserId::as_str))
        .fetch_optional(c)
        .await
    })?;
    Ok(revoked.map(|row| (row.hash, UserId::new(row.user_id))))
}

/// Never sets the clock back: batches of several nodes may arrive out of order.
pub(crate) async fn note_use(link: Link<'_>, id: TokenId, at: DateTime<Utc>) -> Result<(), sqlx::Error> {
    on!(link, c => {
        sqlx::query(
            "UPDATE tokens SET last_used_at = $1
             WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
        )
        .bind(at)
        .bind(id)
        .execute(c)
        .await
        .map(|_| ())
    })
}
