//! What there is to call: models and voices as providers list them, for both listeners.
//!
//! [`Asker`] is the one client that asks providers, [`Catalogue`] keeps what they say of models and voices.
//! [`Unlisted`] and [`Unusable`] say why there is no list, in no listener's words.

mod ask;
mod callable;
mod effective;
mod lists;
mod offers;

use std::path::PathBuf;
use std::sync::Arc;

use policies::descriptor::Providers;
use vault::Vault;

use crate::lists::Lists;

pub use ask::{Answer, Asker, AskerError, Silence, deadline};
pub use effective::Unusable;
pub use lists::{Search, Unlisted};
pub use offers::Offer;

/// Cheap to clone. Its calls belong on the runtime that has the vault's database.
#[derive(Clone)]
pub struct Catalogue(Arc<Inner>);

struct Inner {
    vault: Vault,
    providers: Arc<Providers>,
    asker: Asker,
    lists: Lists,
}

impl Catalogue {
    /// `ca_file` holds PEM roots to trust at providers beside the system's.
    pub fn new(
        vault: Vault,
        providers: Arc<Providers>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, AskerError> {
        Ok(Self(Arc::new(Inner {
            vault,
            providers,
            asker: Asker::new(ca_file)?,
            lists: Lists::new(),
        })))
    }

    /// For questions that are not about lists.
    pub fn asker(&self) -> &Asker {
        &self.0.asker
    }
}
