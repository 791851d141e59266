//! What the vault does, by subject. Each call that changes or reads something is one transaction with its
//! audit event.

pub(crate) mod check;
pub(crate) mod credentials;
pub(crate) mod record;
pub(crate) mod rotate;
pub(crate) mod selections;
pub(crate) mod status;
pub(crate) mod system;
pub(crate) mod tokens;
