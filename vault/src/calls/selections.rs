//! Selections: what an owner speaks and transcribes with.

use std::sync::Arc;

use futures::FutureExt;
use policies::rules::payers;
use policies::vocabulary::{Actor, AuditAction, AuditEvent, Caller, Operation, Owner, Selection};

use crate::cache::CacheKey;
use crate::error::{During, VaultError};
use crate::store::db::within;
use crate::store::selections;
use crate::vault::{SelectionKey, Vault};

impl Vault {
    /// From memory only. `Some(None)`: known to be absent.
    pub fn cached_selection(&self, owner: &Owner, operation: Operation) -> Option<Option<Arc<Selection>>> {
        self.0.selections.get(&SelectionKey(owner.clone(), operation))
    }

    pub async fn selection(
        &self,
        owner: &Owner,
        operation: Operation,
    ) -> Result<Option<Arc<Selection>>, VaultError> {
        const DOING: &str = "looking up a selection";
        let key = SelectionKey(owner.clone(), operation);
        let (db, SelectionKey(owner, _)) = (self.0.db.clone(), key.clone());
        let load = move || {
            within(DOING, async move {
                let mut reader = db.read(DOING).await?;
                selections::find(reader.link(), &owner, operation)
                    .await
                    .during(DOING)
            })
            .boxed()
        };
        self.0.selections.get_or_load(&key, load).await
    }

    /// From memory only: the first that the caller's user or teams have. `None`: not all of it is in memory.
    pub fn cached_selection_for(
        &self,
        caller: &Caller,
        operation: Operation,
    ) -> Option<Option<Arc<Selection>>> {
        for owner in payers(caller) {
            let known = self.cached_selection(&owner, operation)?;
            if known.is_some() {
                return Some(known);
            }
        }
        Some(None)
    }

    /// The first that the caller's user or teams have, in the order in which their credentials pay.
    pub async fn selection_for(
        &self,
        caller: &Caller,
        operation: Operation,
    ) -> Result<Option<Arc<Selection>>, VaultError> {
        for owner in payers(caller) {
            let found = self.selection(&owner, operation).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// True when there was none.
    pub async fn put_selection(
        &self,
        by: &Actor,
        owner: &Owner,
        operation: Operation,
        selection: &Selection,
    ) -> Result<bool, VaultError> {
        const DOING: &str = "storing a selection";
        let _voids = self.voids_selection(owner, operation);
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let before = selections::find(tx.link(), owner, operation)
                .await
                .during(DOING)?;
            selections::put(tx.link(), owner, operation, selection, self.0.now())
                .await
                .during(DOING)?;
            let action = match before {
                None => AuditAction::SelectionCreate,
                Some(_) => AuditAction::SelectionUpdate,
            };
            let event = self.selection_event(by, action, owner, Some(operation));
            let event = AuditEvent {
                provider: Some(selection.provider.clone()),
                ..event
            };
            self.0.commit_change(tx, &event, DOING).await?;
            Ok(before.is_none())
        })
        .await
    }

    pub async fn read_selection(
        &self,
        by: &Actor,
        owner: &Owner,
        operation: Operation,
    ) -> Result<Option<Selection>, VaultError> {
        const DOING: &str = "reading a selection";
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let selection = selections::find(tx.link(), owner, operation)
                .await
                .during(DOING)?;
            let event = self.selection_event(by, AuditAction::SelectionRead, owner, Some(operation));
            self.0.commit_read(tx, &event, DOING).await?;
            Ok(selection)
        })
        .await
    }

    pub async fn list_selections(
        &self,
        by: &Actor,
        owner: &Owner,
    ) -> Result<Vec<(Operation, Selection)>, VaultError> {
        const DOING: &str = "listing selections";
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            let rows = selections::list(tx.link(), owner).await.during(DOING)?;
            let event = self.selection_event(by, AuditAction::SelectionRead, owner, None);
            self.0.commit_read(tx, &event, DOING).await?;
            rows.into_iter()
                .map(|row| Ok((known(&row.operation, owner)?, row.selection.0)))
                .collect()
        })
        .await
    }

    /// False when there was none.
    pub async fn delete_selection(
        &self,
        by: &Actor,
        owner: &Owner,
        operation: Operation,
    ) -> Result<bool, VaultError> {
        const DOING: &str = "deleting a selection";
        let _voids = self.voids_selection(owner, operation);
        within(DOING, async {
            let mut tx = self.0.db.begin(DOING).await?;
            if !selections::delete(tx.link(), owner, operation)
                .await
                .during(DOING)?
            {
                return Ok(false);
            }
            let event = self.selection_event(by, AuditAction::SelectionDelete, owner, Some(operation));
            self.0.commit_change(tx, &event, DOING).await?;
            Ok(true)
        })
        .await
    }

    fn voids_selection(&self, owner: &Owner, operation: Operation) -> crate::vault::Voids {
        let mut voids = self.0.voids();
        voids.add(SelectionKey(owner.clone(), operation).shard());
        voids
    }

    fn selection_event(
        &self,
        by: &Actor,
        action: AuditAction,
        owner: &Owner,
        operation: Option<Operation>,
    ) -> AuditEvent {
        AuditEvent {
            owner: Some(owner.to_string()),
            detail: operation.map(|operation| operation.to_string()),
            ..self.0.event(by, action)
        }
    }
}

fn known(operation: &str, owner: &Owner) -> Result<Operation, VaultError> {
    Operation::parse(operation).ok_or_else(|| VaultError::Corrupt {
        table: "selections",
        id: format!("{owner} {operation}"),
        what: "unknown operation".to_owned(),
    })
}
