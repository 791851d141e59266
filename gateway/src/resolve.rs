//! Where an origin's address is: names resolved without blocking, remembered, and kept stable.
//!
//! The address is part of the key under which connections are pooled, so the one in use stays as long as the
//! name still has it and connections to it succeed. A name is looked up again in the background once its
//! entry is [`FRESH`] old; while lookups fail the old addresses serve on.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::HttpPeer;
use policies::descriptor::Origin;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::socket::{PROBE_AFTER, PROBE_EVERY, PROBES, UNHEARD};

const FRESH: Duration = Duration::from_secs(30);
const LOOKUP_TIME: Duration = Duration::from_secs(5);
/// Shorter than the usual 60 s after which load balancers drop idle connections.
const KEEP_IDLE: Duration = Duration::from_secs(50);
const PING_EVERY: Duration = Duration::from_secs(20);
const MAX_STREAMS: usize = 100;
/// Sets the connections of WebSockets apart from all others.
const SOCKETS: u64 = 1;
/// Origins follow from descriptors and settings; past this many, all are looked up anew.
const MAX_ORIGINS: usize = 4096;

/// What one origin's name led to, and which address of it is in use.
struct Known {
    addresses: Vec<SocketAddr>,
    peer: Arc<HttpPeer>,
    resolved: Instant,
    refreshing: AtomicBool,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// One call after the other, so that it is kept between them.
    Calls,
    /// A WebSocket, to the end.
    Socket,
}

/// What leads to a peer, apart from its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    pub origin: Arc<Origin>,
    /// How long connecting may take.
    pub connect: Duration,
    pub purpose: Purpose,
}

#[derive(Clone, Default)]
pub struct Addresses(Arc<RwLock<HashMap<Destination, Arc<Known>>>>);

impl Addresses {
    pub async fn peer(&self, to: &Destination) -> Result<Arc<HttpPeer>, String> {
        let known = self.0.read().get(to).cloned();
        let Some(known) = known else {
            let addresses = look_up(&to.origin).await?;
            return Ok(self.learn(to.clone(), addresses, None));
        };
        if known.resolved.elapsed() > FRESH && !known.refreshing.swap(true, Ordering::Relaxed) {
            self.refresh_in_background(to.clone(), known.clone());
        }
        Ok(known.peer.clone())
    }

    /// `peer` could not be connected to: the next address of the name, when there is another.
    pub fn next(&self, to: &Destination, peer: &HttpPeer) -> Option<Arc<HttpPeer>> {
        let known = self.0.read().get(to).cloned()?;
        let failed = peer._address.as_inet()?;
        let at = known.addresses.iter().position(|address| address == failed)?;
        let following = *known.addresses.get((at + 1) % known.addresses.len())?;
        (following != *failed).then(|| self.learn(to.clone(), known.addresses.clone(), Some(following)))
    }

    fn refresh_in_background(&self, to: Destination, known: Arc<Known>) {
        let addresses = self.clone();
        tokio::spawn(async move {
            let in_use = known.peer._address.as_inet().copied();
            match look_up(&to.origin).await {
                Ok(found) => {
                    addresses.learn(to, found, in_use);
                }
                Err(error) => {
                    tracing::warn!(host = to.origin.host, error, "looking up a name again");
                    addresses.learn(to, known.addresses.clone(), in_use);
                }
            }
        });
    }

    fn learn(
        &self,
        to: Destination,
        addresses: Vec<SocketAddr>,
        prefer: Option<SocketAddr>,
    ) -> Arc<HttpPeer> {
        let address = prefer
            .filter(|address| addresses.contains(address))
            .unwrap_or(addresses[0]);
        let peer = Arc::new(peer(&to, address));
        let known = Known {
            addresses,
            peer: peer.clone(),
            resolved: Instant::now(),
            refreshing: AtomicBool::new(false),
        };
        let mut all = self.0.write();
        if all.len() >= MAX_ORIGINS && !all.contains_key(&to) {
            all.clear();
        }
        all.insert(to, Arc::new(known));
        peer
    }
}

/// Never empty.
async fn look_up(origin: &Origin) -> Result<Vec<SocketAddr>, String> {
    let bare = origin.name();
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, origin.port)]);
    }
    let mut found: Vec<SocketAddr> = match timeout(LOOKUP_TIME, lookup_host((bare, origin.port))).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(format!("looking up {bare}: {error}")),
        Err(_) => return Err(format!("looking up {bare}: no answer in time")),
    };
    found.dedup();
    if found.is_empty() {
        Err(format!("looking up {bare}: it has no address"))
    } else {
        Ok(found)
    }
}

/// The name is always sent as SNI, without which the certificate would not be checked.
fn peer(to: &Destination, address: SocketAddr) -> HttpPeer {
    let origin = &to.origin;
    let mut peer = HttpPeer::new(address, origin.https, origin.name().to_owned());
    peer.options.connection_timeout = Some(to.connect);
    peer.options.total_connection_timeout = Some(to.connect);
    peer.options.idle_timeout = Some(KEEP_IDLE);
    match to.purpose {
        Purpose::Socket => {
            // Never one that was kept: it may be dead, and there is no second try of a handshake.
            peer.group_key = SOCKETS;
            peer.options.tcp_keepalive = Some(TcpKeepalive {
                idle: PROBE_AFTER,
                interval: PROBE_EVERY,
                count: PROBES as usize,
                user_timeout: UNHEARD,
            });
        }
        Purpose::Calls if origin.https => {
            peer.options.set_http_version(2, 1);
            peer.options.max_h2_streams = MAX_STREAMS;
            peer.options.h2_ping_interval = Some(PING_EVERY);
        }
        Purpose::Calls => {}
    }
    peer
}
