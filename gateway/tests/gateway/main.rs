//! The gateway on real sockets, between callers and a fake provider that streams, stalls, cuts and refuses.

mod bodies;
mod edges;
mod endings;
mod fixture;
mod heads;
mod provider;
mod refusals;
mod secure;
mod unified_files;
mod unified_speech;
mod unified_trouble;
mod unified_uploads;
