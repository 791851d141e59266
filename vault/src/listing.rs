//! What listings are asked with and answer: filters, pages, and the cursor between two pages.
//!
//! Listings run from the newest down. A cursor is the time and id of the last item given, so that rows which
//! arrive or vanish between two pages neither repeat nor hide others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use policies::vocabulary::{AuditAction, Operation, ProviderId, Scope, TeamId, TokenId, UserId};
use uuid::Uuid;

use crate::error::VaultError;

pub use policies::rewrite::Page;

/// Which page of a listing.
#[derive(Clone, Debug)]
pub struct PageRequest {
    pub cursor: Option<String>,
    pub limit: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            cursor: None,
            limit: 50,
        }
    }
}

#[derive(Clone, Debug)]
pub struct AuditFilter {
    /// Whose: what this user did, and what was done to what this user owns. `None`: everyone's.
    pub owner: Option<UserId>,
    pub action: Option<AuditAction>,
    pub provider: Option<ProviderId>,
    /// Included.
    pub from: Option<DateTime<Utc>>,
    /// Not included.
    pub to: Option<DateTime<Utc>>,
    pub cursor: Option<String>,
    pub limit: u32,
}

#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// `None`: everyone's.
    pub user: Option<UserId>,
    pub provider: Option<ProviderId>,
    pub model: Option<String>,
    pub operation: Option<Operation>,
    /// Included.
    pub from: Option<DateTime<Utc>>,
    /// Not included.
    pub to: Option<DateTime<Utc>>,
    pub cursor: Option<String>,
    pub limit: u32,
}

impl Default for AuditFilter {
    fn default() -> Self {
        let PageRequest { cursor, limit } = PageRequest::default();
        Self {
            owner: None,
            action: None,
            provider: None,
            from: None,
            to: None,
            cursor,
            limit,
        }
    }
}

impl Default for UsageFilter {
    fn default() -> Self {
        let PageRequest { cursor, limit } = PageRequest::default();
        Self {
            user: None,
            provider: None,
            model: None,
            operation: None,
            from: None,
            to: None,
            cursor,
            limit,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupBy {
    Day,
    Provider,
    Model,
    Operation,
    User,
}

/// Sums over the usage events that agree in what was grouped by; the fields not grouped by are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageSummary {
    /// In UTC.
    pub day: Option<NaiveDate>,
    pub provider: Option<ProviderId>,
    pub model: Option<String>,
    pub operation: Option<Operation>,
    pub user: Option<UserId>,
    pub calls: i64,
    /// Calls whose outcome was not `ok`.
    pub errors: i64,
    pub characters: i64,
    pub audio_seconds: f64,
    pub estimated_cost: f64,
    pub bytes_in: i64,
    pub bytes_out: i64,
}

/// An access token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub user: UserId,
    pub name: String,
    /// `None`: until revoked.
    pub ttl: Option<TimeDelta>,
    /// `None`: all that its user may do.
    pub scopes: Option<Vec<Scope>>,
    pub roles: Vec<String>,
    pub teams: Vec<TeamId>,
    pub admin_of: Vec<TeamId>,
}

/// Everything about an access token but the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub id: TokenId,
    pub user: UserId,
    pub name: String,
    pub prefix: String,
    pub scopes: Option<Vec<Scope>>,
    pub roles: Vec<String>,
    pub teams: Vec<TeamId>,
    pub admin_of: Vec<TeamId>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    /// To the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The last item of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub at: DateTime<Utc>,
    pub id: Uuid,
}

impl Cursor {
    pub fn encode(self) -> String {
        let mut bytes = self.at.timestamp_micros().to_be_bytes().to_vec();
        bytes.extend_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn decode(text: &str) -> Result<Self, VaultError> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(VaultError::Cursor)?;
        let (at, id) = bytes.split_at(8);
        let micros = i64::from_be_bytes(at.try_into().map_err(|_| VaultError::Cursor)?);
        let at = DateTime::from_timestamp_micros(micros).ok_or(VaultError::Cursor)?;
        Ok(Self {
            at,
            id: Uuid::from_slice(id).map_err(|_| VaultError::Cursor)?,
        })
    }
}

impl PageRequest {
    pub(crate) fn after(&self) -> Result<Option<Cursor>, VaultError> {
        self.cursor.as_deref().map(Cursor::decode).transpose()
    }

    /// How many rows to ask for: one more than are given, which tells whether a page follows.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts what [`fetch`](Self::fetch) brought down to a page.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, place: impl Fn(&T) -> Cursor) -> Page<T> {
        let limit = self.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|item| place(item).encode());
        Page { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_journey() {
        let at = DateTime::from_timestamp_micros(1_764_000_000_123_456).unwrap();
        let cursor = Cursor {
            at,
            id: Uuid::now_v7(),
        };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "AAAA", "not base64!", &"A".repeat(200)] {
            assert!(matches!(Cursor::decode(text), Err(VaultError::Cursor)), "{text}");
        }
        let far_off = URL_SAFE_NO_PAD.encode([0x7f; 24]);
        assert!(matches!(Cursor::decode(&far_off), Err(VaultError::Cursor)));
    }
}
