//! Credentials, sealed, and the marks of the highest version each owner ever had with a provider.

use chrono::{DateTime, Utc};
use policies::descriptor::{Hosts, Settings};
use policies::vocabulary::{Code, CredentialId, CredentialStatus, Owner, ProviderId};
use sqlx::types::Json;

use super::db::{Link, on};
use crate::credential::CredentialRow;
use crate::envelope::{Binding, Sealed, Wrapped};
use crate::error::{During, VaultError};

const TABLE: &str = "credentials";

/// A whole row: what may be seen, and what is sealed.
pub(crate) struct Stored {
    pub row: CredentialRow,
    pub hosts: Hosts,
    pub sealed: Sealed,
    /// The owner's mark with this provider; a row with another version was put back from the past.
    pub mark: Option<i64>,
}

impl Stored {
    pub fn binding(&self) -> Binding<'_> {
        Binding {
            owner: &self.row.owner,
            provider: &self.row.provider,
            id: self.row.id,
            version: self.row.version,
            hosts: &self.hosts,
            settings: &self.row.settings,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: CredentialId,
    owner_kind: String,
    owner_id: String,
    provider: String,
    version: i64,
    kek_id: String,
    wrapped_dek: Vec<u8>,
    wrap_nonce: Vec<u8>,
    sealed: Vec<u8>,
    seal_nonce: Vec<u8>,
    masked_key: String,
    settings: Json<Settings>,
    hosts: Json<Hosts>,
    status: String,
    status_reason: Option<String>,
    status_detail: Option<String>,
    last_validated_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    mark: Option<i64>,
}

impl TryFrom<Row> for Stored {
    type Error = VaultError;

    fn try_from(row: Row) -> Result<Self, VaultError> {
        let corrupt = |what: &str| VaultError::Corrupt {
            table: TABLE,
            id: row.id.to_string(),
            what: what.to_owned(),
        };
        let owner =
            Owner::from_parts(&row.owner_kind, &row.owner_id).ok_or_else(|| corrupt("unknown owner kind"))?;
        let status = CredentialStatus::parse(&row.status).ok_or_else(|| corrupt("unknown status"))?;
        let status_reason = match &row.status_reason {
            Some(code) => Some(Code::parse(code).ok_or_else(|| corrupt("unknown status_reason"))?),
            None => None,
        };
        Ok(Self {
            row: CredentialRow {
                id: row.id,
                owner,
                provider: ProviderId::new(row.provider),
                version: row.version,
                masked_key: row.masked_key,
                settings: row.settings.0,
                status,
                status_reason,
                status_detail: row.status_detail,
                last_validated_at: row.last_validated_at,
                created_at: row.created_at,
                updated_at: row.updated_at,
            },
            hosts: row.hosts.0,
            sealed: Sealed {
                wrapped: Wrapped {
                    kek_id: row.kek_id,
                    dek: row.wrapped_dek,
                    nonce: row.wrap_nonce,
                },
                sealed: row.sealed,
                nonce: row.seal_nonce,
            },
            mark: row.mark,
        })
    }
}

pub(crate) async fn find(
    link: Link<'_>,
    owner: &Owner,
    provider: &ProviderId,
) -> Result<Option<Stored>, VaultError> {
    let row: Option<Row> = on!(link, c => {
        sqlx::query_as(
            "SELECT c.*, m.version AS mark
             FROM credentials c LEFT JOIN credential_marks m
               ON m.owner_kind = c.owner_kind AND m.owner_id = c.owner_id AND m.provider = c.provider
             WHERE c.owner_kind = $1 AND c.owner_id = $2 AND c.provider = $3",
        )
        .bind(owner.kind())
        .bind(owner.id())
        .bind(provider.as_str())
        .fetch_optional(c)
        .await
    })
    .during("looking up a credential")?;
    row.map(Stored::try_from).transpose()
}

pub(crate) async fn find_by_id(link: Link<'_>, id: CredentialId) -> Result<Option<Stored>, VaultError> {
    let row: Option<Row> = on!(link, c => {
        sqlx::query_as(
            "SELECT c.*, m.version AS mark
             FROM credentials c LEFT JOIN credential_marks m
               ON m.owner_kind = c.owner_kind AND m.owner_id = c.owner_id AND m.provider = c.provider
             WHERE c.id = $1",
        )
        .bind(id)
        .fetch_optional(c)
        .await
    })
    .during("looking up a credential")?;
    row.map(Stored::try_from).transpose()
}

/// The id and birth of what is there, also when the rest of the row makes no sense.
pub(crate) async fn identity(
    link: Link<'_>,
    owner: &Owner,
    provider: &ProviderId,
) -> Result<Option<(CredentialId, DateTime<Utc>)>, sqlx::Error> {
    on!(link, c => {
        sqlx::query_as(
            "SELECT id, created_at FROM credentials
             WHERE owner_kind = $1 AND owner_id = $2 AND provider = $3",
        )
        .bind(owner.kind())
        .bind(owner.id())
        .bind(provider.as_str())
        .fetch_optional(c)
        .await
    })
}

pub(crate) async fn list(link: Link<'_>, owner: &Owner) -> Result<Vec<CredentialRow>, VaultError> {
    let rows: Vec<Row> = on!(link, c => {
        sqlx::query_as(
            "SELECT c.*, NULL AS mark FROM credentials c
             WHERE owner_kind = $1 AND owner_id = $2 ORDER BY provider",
        )
        .bind(owner.kind())
        .bind(owner.id())
        .fetch_all(c)
        .await
    })
    .during("listing credentials")?;
    rows.into_iter()
        .map(|row| Stored::try_from(row).map(|stored| stored.row))
        .collect()
}

/// Which credential it is and whose: what can be told of a row that makes no sense otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub id: CredentialId,
    pub owner: Owner,
    pub provider: ProviderId,
}

#[derive(sqlx::FromRow)]
struct HoldingRow {
    id: CredentialId,
    owner_kind: String,
    owner_id: String,
    provider: String,
}

impl TryFrom<HoldingRow> for Holding {
    type Error = VaultError;

    fn try_from(row: HoldingRow) -> Result<Self, VaultError> {
        let owner = Owner::from_parts(&row.owner_kind, &row.owner_id).ok_or_else(|| VaultError::Corrupt {
            table: TABLE,
            id: row.id.to_string(),
            what: "unknown owner kind".to_owned(),
        })?;
        Ok(Self {
            id: row.id,
            owner,
            provider: ProviderId::new(row.provider),
        })
    }
}

/// All credentials after this id, in its order.
pub(crate) async fn after(
    link: Link<'_>,
    after: CredentialId,
    limit: i64,
) -> Result<Vec<Holding>, VaultError> {
    let rows: Vec<HoldingRow> = on!(link, c => {
        sqlx::query_as(
            "SELECT id, owner_kind, owner_id, provider FROM credentials WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(c)
        .await
    })
    .during("listing all credentials")?;
    rows.into_iter().map(Holding::try_from).collect()
}

/// Likewise, but only those that need another master key than this one.
pub(crate) async fn under_other_keys(
    link: Link<'_>,
    kek_id: &str,
    after: CredentialId,
    limit: i64,
) -> Result<Vec<Holding>, VaultError> {
    let rows: Vec<HoldingRow> = on!(link, c => {
        sqlx::query_as(
            "SELECT id, owner_kind, owner_id, provider FROM credentials
             WHERE kek_id <> $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(kek_id)
        .bind(after)
        .bind(limit)
        .fetch_all(c)
        .await
    })
    .during("listing credentials under older master keys")?;
    rows.into_iter().map(Holding::try_from).collect()
}

/// How many credentials need each master key.
pub(crate) async fn count_by_key(link: Link<'_>) -> Result<Vec<(String, i64)>, sqlx::Error> {
    on!(link, c => {
        sqlx::query_as("SELECT kek_id, COUNT(*) FROM credentials GROUP BY kek_id ORDER BY kek_id")
            .fetch_all(c)
            .await
    })
}

pub(crate) async fn any(link: Link<'_>) -> Result<bool, sqlx::Error> {
    on!(link, c => sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM credentials)").fetch_one(c).await)
}

/// The next version; also makes concurrent changes of one credential queue.
pub(crate) async fn raise_mark(
    link: Link<'_>,
    owner: &Owner,
    provider: &ProviderId,
) -> Result<i64, sqlx::Error> {
    on!(link, c => {
        sqlx::query_scalar(
            "INSERT INTO credential_marks (owner_kind, owner_id, provider, version) VALUES ($1, $2, $3, 1)
             ON CONFLICT (owner_kind, owner_id, provider)
             DO UPDATE SET version = credential_marks.version + 1
             RETURNING version",
        )
        .bind(owner.kind())
        .bind(owner.id())
        .bind(provider.as_str())
        .fetch_one(c)
        .await
    })
}

pub(crate) async fn put(link: Link<'_>, stored: &Stored) -> Result<(), sqlx::Error> {
    let Stored {
        row, hosts, sealed, ..
    } = stored;
    on!(link, c => {
        sqlx::query(
            "INSERT INTO credentials (id, owner_kind, owner_id, provider, version, kek_id, wrapped_dek,
                 wrap_nonce, sealed, seal_nonce, masked_key, settings, hosts, status, status_reason,
                 status_detail, last_validated_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
             ON CONFLICT (owner_kind, owner_id, provider) DO UPDATE SET
                 version = excluded.version, kek_id = excluded.kek_id, wrapped_dek = excluded.wrapped_dek,
                 wrap_nonce = excluded.wrap_nonce, sealed = excluded.sealed, seal_nonce = excluded.seal_nonce,
                 masked_key = excluded.masked_key, settings = excluded.settings, hosts = excluded.hosts,
                 status = excluded.status, status_reason = excluded.status_reason,
                 status_detail = excluded.status_detail, last_validated_at = excluded.last_validated_at,
                 updated_at = excluded.updated_at",
        )
        .bind(row.id)
        .bind(row.owner.kind())
        .bind(row.owner.id())
        .bind(row.provider.as_str())
        .bind(row.version)
        .bind(&sealed.wrapped.kek_id)
        .bind(&sealed.wrapped.dek)
        .bind(&sealed.wrapped.nonce)
        .bind(&sealed.sealed)
        .bind(&sealed.nonce)
        .bind(&row.masked_key)
        .bind(Json(&row.settings))
        .bind(Json(hosts))
        .bind(row.status.as_str())
        .bind(row.status_reason.map(Code::as_str))
        .bind(&row.status_detail)
        .bind(row.last_validated_at)
        .bind(row.created_at)
        .bind(row.updated_at)
        .execute(c)
        .await
        .map(|_| ())
    })
}

pub(crate) async fn delete(link: Link<'_>, id: CredentialId) -> Result<(), sqlx::Error> {
    on!(link, c => sqlx::query("DELETE FROM credentials WHERE id = $1").bind(id).execute(c).await.map(|_| ()))
}

/// Writes the status fields of this row; false when its version has moved on.
pub(crate) async fn set_status(link: Link<'_>, row: &CredentialRow) -> Result<bool, sqlx::Error> {
    on!(link, c => {
        sqlx::query(
            "UPDATE credentials
             SET status = $1, status_reason = $2, status_detail = $3, last_validated_at = $4, updated_at = $5
             WHERE id = $6 AND version = $7",
        )
        .bind(row.status.as_str())
        .bind(row.status_reason.map(Code::as_str))
        .bind(&row.status_detail)
        .bind(row.last_validated_at)
        .bind(row.updated_at)
        .bind(row.id)
        .bind(row.version)
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0)
    })
}

/// Puts another wrapping in the place of one; false when the row has changed since that one was read.
pub(crate) async fn rewrap(
    link: Link<'_>,
    id: CredentialId,
    version: i64,
    from_kek: &str,
    wrapped: &Wrapped,
) -> Result<bool, sqlx::Error> {
    on!(link, c => {
        sqlx::query(
            "UPDATE credentials SET kek_id = $1, wrapped_dek = $2, wrap_nonce = $3
             WHERE id = $4 AND version = $5 AND kek_id = $6",
        )
        .bind(&wrapped.kek_id)
        .bind(&wrapped.dek)
        .bind(&wrapped.nonce)
        .bind(id)
        .bind(version)
        .bind(from_kek)
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0)
    })
}
