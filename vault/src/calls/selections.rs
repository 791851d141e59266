use std::sync::Arc;

use policies::vocabulary::{Actor, Operation, Owner};

use crate::error::VaultError;
use crate::selection::Selection;
use crate::vault::Vault;

impl Vault {
    pub fn cached_selection(&self, owner: &Owner, operation: Operation) -> Option<Option<Arc<Selection>>> {
        todo!()
    }
    pub async fn selection(&self, owner: &Owner, operation: Operation) -> Result<Option<Arc<Selection>>, VaultError> {
        todo!()
    }
    /// True when there was none.
    pub async fn put_selection(&self, by: &Actor, owner: &Owner, operation: Operation, selection: &Selection) -> Result<bool, VaultError> {
        todo!()
    }
    pub async fn read_selection(&self, by: &Actor, owner: &Owner, operation: Operation) -> Result<Option<Selection>, VaultError> {
        todo!()
    }
    pub async fn list_selections(&self, by: &Actor, owner: &Owner) -> Result<Vec<(Operation, Selection)>, VaultError> {
        todo!()
    }
    pub async fn delete_selection(&self, by: &Actor, owner: &Owner, operation: Operation) -> Result<bool, VaultError> {
        todo!()
    }
}
