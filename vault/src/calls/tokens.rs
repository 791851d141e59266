use std::sync::Arc;

use policies::vocabulary::{Actor, Caller, TokenId, UserId};

use crate::error::VaultError;
use crate::listing::{NewToken, Page, PageRequest, TokenRow};
use crate::token::{PlainToken, TokenHash};
use crate::vault::Vault;

impl Vault {
    pub fn cached_token(&self, hash: &TokenHash) -> Option<Option<Arc<Caller>>> {
        todo!()
    }
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<Arc<Caller>>, VaultError> {
        todo!()
    }
    pub async fn create_token(&self, by: &Actor, new: NewToken) -> Result<(TokenRow, PlainToken), VaultError> {
        todo!()
    }
    pub async fn list_tokens(&self, by: &Actor, user: &UserId, page: PageRequest) -> Result<Page<TokenRow>, VaultError> {
        todo!()
    }
    /// False when there is no such token (of that user).
    pub async fn revoke_token(&self, by: &Actor, id: TokenId, user: Option<&UserId>) -> Result<bool, VaultError> {
        todo!()
    }
}
