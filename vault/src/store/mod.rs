//! The tables, one file each: short methods with one literal statement, the same text for both databases.
//! What differs between them is in [`db`], [`insert`] and [`schema`].

pub(crate) mod audit;
pub(crate) mod credentials;
pub(crate) mod db;
mod insert;
pub(crate) mod master_keys;
pub(crate) mod revision;
pub(crate) mod schema;
pub(crate) mod selections;
pub(crate) mod tokens;
pub(crate) mod usage;
pub(crate) mod usage_sums;
