//! What the vault does, on SQLite and on Postgres alike.

mod changes;
mod credentials;
mod harness;
mod opening;
mod outages;
mod record;
mod rotation;
mod selections;
mod sockets;
mod tampering;
mod tokens;
