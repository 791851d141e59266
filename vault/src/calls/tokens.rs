//! Access tokens: made, listed, revoked, and recognised on every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use policies::vocabulary::{Actor, AuditAction, AuditEvent, Caller, Owner, Scopes, TokenId, UserId};
use uuid::Uuid;

use crate::cache::CacheKey;
use crate::clock::to_microseconds;
use crate::error::{During, VaultError};
use crate::listing::{Cursor, NewToken, Page, PageRequest, TokenRow};
use crate::store::db::within;
use crate::store::tokens;
use crate::token::{self, PlainToken, TokenHash};
use crate::vault::{Inner, KnownToken, Vault};

impl Vault {
    /// From memory only. `Some(None)`: known to be refused.
    pub fn cached_token(&self, hash: &TokenHash) -> Option<Option<Arc<Caller>>> {
        let known = self.0.tokens.get(hash)?;
        Some(known.and_then(|known| self.0.used(&known)))
    }

    /// Who this token proves, or `None` when there is no such token, or it was revoked or has expired.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<Arc<Caller>>, VaultError> {
        const DOING: &str = "looking up a token";
        let (db, hash) = (self.0.db.clone(), *hash);
        let load = move || {
            within(DOING, async move {
                let mut reader = db.read(DOING).await?;
                let row = tokens::find(reader.link(), &hash).await.during(DOING)?;
                Ok(row.map(known_token))
            })
            .boxed()
        };
        let known = self.0.tokens.get_or_load(&hash, load).await?;
        Ok(known.and_then(|known| self.0.used(&known)))
    }

    pub async fn create_token(
        &self,
        by: &Actor,
        new: NewToken,
    ) -> Result<(TokenRow, PlainToken), VaultError> {
        const DOING: &str = "storing a token";
        let plain = token::mint(&self.0.chance)?;
        let row = token_row(new, &plain, self.0.now());
        let mut voids = self.0.voids();
        voids.add(plain.hash().shard());
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            tokens::insert(tx.link(), &row, &plain.hash())
                .await
                .during(DOING)?;
            let event = self.0.event(by, AuditAction::TokenCreate);
            self.0
                .commit_change(tx, &about(event, &row.user, row.id), DOING)
                .await
        })
        .await?;
        Ok((row, plain))
    }

    /// The user's tokens that are not revoked; expired ones are among them.
    pub async fn list_tokens(
        &self,
        by: &Actor,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Page<TokenRow>, VaultError> {
        const DOING: &str = "listing tokens";
        let after = page.after()?;
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let rows = tokens::list(tx.link(), user, after, page.fetch())
                .await
                .during(DOING)?;
            let event = AuditEvent {
                owner: Some(Owner::User(user.clone()).to_string()),
                ..self.0.event(by, AuditAction::TokenRead)
            };
            self.0.commit_read(tx, &event, DOING).await?;
            Ok(page.page(rows, |row| Cursor {
                at: row.created_at,
                id: row.id,
            }))
        })
        .await
    }

    /// False when there is no such token (of that user), or it was revoked before.
    pub async fn revoke_token(
        &self,
        by: &Actor,
        id: TokenId,
        user: Option<&UserId>,
    ) -> Result<bool, VaultError> {
        const DOING: &str = "revoking a token";
        let mut voids = self.0.voids();
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let revoked = tokens::revoke(tx.link(), id, user, self.0.now())
                .await
                .during(DOING)?;
            let Some((hash, owner)) = revoked else {
                return Ok(false);
            };
            let hash = TokenHash::from_bytes(&hash).ok_or_else(|| VaultError::Corrupt {
                table: "tokens",
                id: id.to_string(),
                what: "its hash has another length".to_owned(),
            })?;
            voids.add(hash.shard());
            let event = self.0.event(by, AuditAction::TokenDelete);
            self.0.commit_change(tx, &about(event, &owner, id), DOING).await?;
            Ok(true)
        })
        .await
    }
}

impl Inner {
    /// The caller, unless the token has expired since it was loaded; notes the use once a minute.
    fn used(&self, known: &KnownToken) -> Option<Arc<Caller>> {
        let now = self.clock.now();
        if known.caller.expires_at.is_some_and(|end| end <= now) {
            return None;
        }
        let minute = now.timestamp() / 60;
        if known.noted.load(Ordering::Relaxed) != minute {
            known.noted.store(minute, Ordering::Relaxed);
            if let Some(id) = known.caller.token_id {
                self.used_tokens.lock().insert(id, to_microseconds(now));
            }
        }
        Some(known.caller.clone())
    }
}

fn known_token(row: TokenRow) -> KnownToken {
    let caller = Caller {
        user: row.user,
        teams: row.teams,
        admin_of: row.admin_of,
        roles: row.roles,
        scopes: row.scopes.map(|scopes| Scopes::of(&scopes)),
        token_id: Some(row.id),
        expires_at: row.expires_at,
    };
    KnownToken {
        caller: Arc::new(caller),
        noted: AtomicI64::new(0),
    }
}

fn token_row(new: NewToken, plain: &PlainToken, now: DateTime<Utc>) -> TokenRow {
    TokenRow {
        id: Uuid::now_v7(),
        user: new.user,
        name: new.name,
        prefix: plain.prefix().to_owned(),
        scopes: new.scopes,
        roles: new.roles,
        teams: new.teams,
        admin_of: new.admin_of,
        created_at: now,
        // A time too far off to be written down is no end.
        expires_at: new
            .ttl
            .and_then(|ttl| now.checked_add_signed(ttl))
            .map(to_microseconds),
        last_used_at: None,
    }
}

fn about(event: AuditEvent, user: &UserId, id: TokenId) -> AuditEvent {
    AuditEvent {
        owner: Some(Owner::User(user.clone()).to_string()),
        detail: Some(format!("token {id}")),
        ..event
    }
}
