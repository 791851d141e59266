//! Access tokens of the caller: what an SDK gets in the place of a key.

pub mod create;
pub mod list;
pub mod revoke;

use chrono::{DateTime, Utc};
use policies::vocabulary::{Scope, TokenId};
use serde::Serialize;
use vault::TokenRow;

/// Everything about a token but the token.
#[derive(Serialize)]
pub struct Shown {
    id: TokenId,
    name: String,
    prefix: String,
    /// Null: all that its user may do.
    scopes: Option<Vec<Scope>>,
    created_at: DateTime<Utc>,
    /// Null: until revoked.
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<TokenRow> for Shown {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            scopes: row.scopes,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        }
    }
}
