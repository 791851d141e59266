//! The gateway on real sockets, between callers and a fake provider that streams, stalls, cuts and refuses.

mod autobahn;
mod bodies;
mod edges;
mod endings;
mod fixture;
mod heads;
mod provider;
mod refusals;
mod secure;
mod socket_bytes;
mod socket_ends;
mod socket_fixture;
mod socket_tokens;
mod sockets;
mod unified_files;
mod unified_speech;
mod unified_trouble;
mod unified_uploads;
