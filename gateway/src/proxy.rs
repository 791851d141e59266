//! One request, from its head to its record, in the order of the stages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use callers::{Callers, RefusalBudget};
use catalogue::Catalogue;
use http::Method;
use parking_lot::RwLock;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use policies::descriptor::Providers;
use policies::rules::Inbound;
use policies::vocabulary::{Code, Dialect, Refusal};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use vault::Vault;

use crate::cors::{self, Cors};
use crate::crowd::Crowd;
use crate::resolve::Addresses;
use crate::respond::{Marks, Reply, is_bodiless, peer_ip};
use crate::stages::admit::{InFlight, Permit, admit};
use crate::stages::authenticate::authenticate;
use crate::stages::authorise::authorise;
use crate::stages::recognise::{Recognised, recognise};
use crate::stages::record::{Attempt, Call, refused};
use crate::stages::relay::Exchange;
use crate::stages::route::route;
use crate::stages::{Fault, Seen, Stop};
use crate::telemetry::{Kind, Meters};
use crate::unified::breaker::Breakers;
use crate::unified::{Encoders, Spools};

/// How long a caller who was answered early may go on sending before the connection is closed under it.
/// Closing at once would reset the connection and lose the answer on its way.
const LINGER: Duration = Duration::from_secs(2);

/// What all threads share.
pub struct Gateway {
    pub limits: Limits,
    pub providers: Arc<Providers>,
    pub vault: Vault,
    pub callers: Callers,
    pub app: Handle,
    pub addresses: Addresses,
    pub meters: Meters,
    pub strangers: RefusalBudget,
    pub cors: RwLock<Arc<Cors>>,
    pub in_flight: InFlight,
    /// Connections with a request under way, and HTTP/2 connections.
    pub busy: InFlight,
    /// WebSockets, from their handshake to their end.
    pub sockets: InFlight,
    /// Whether open WebSockets are to end.
    pub draining: watch::Sender<bool>,
    /// All connections of callers.
    pub crowd: Crowd,
    /// Providers and keys that are not called for the moment.
    pub breakers: Breakers,
    pub encoders: Encoders,
    pub catalogue: Catalogue,
    pub options: HttpServerOptions,
}

/// What one thread serves with. Connections to providers stay on the thread that made them, so that no
/// byte of theirs wakes two threads.
pub struct Worker {
    pub gateway: Arc<Gateway>,
    pub connector: Connector,
}

pub struct Limits {
    pub max_body_bytes: u64,
    pub max_head_bytes: usize,
    pub head_timeout: Duration,
    pub write_timeout: Duration,
    pub public_url: String,
    pub fallback_after: Duration,
    pub attempts_time: Duration,
    pub spools: Spools,
    pub socket_idle: Duration,
    pub socket_token_time: Duration,
    pub socket_record_every: Duration,
    pub close_on_revoke: Option<bool>,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The answer is complete; HTTP decides whether the connection goes on.
    Finish,
    /// The answer broke off, which the caller must not take for its end.
    Cut,
}

impl Worker {
    /// Everything that happens to one request. Called once its head is there.
    pub async fn serve(&self, session: &mut ServerSession, draining: bool) -> After {
        self.gateway.serve(&self.connector, session, draining).await
    }
}

impl Gateway {
    async fn serve(&self, connector: &Connector, session: &mut ServerSession, draining: bool) -> After {
        let head = session.req_header();
        let call = Call::begin(head.method.clone(), peer_ip(session));
        let admitted = self.cors.read().admit(head);
        let marks = Marks::new(call.id, admitted);
        if let Some(mut ours) = self.own_answer(head, draining).await {
            marks.put(&mut ours.headers);
            let bodiless = is_bodiless(&session.req_header().method);
            return self.say(session, ours, bodiless).await;
        }
        match recognise(session.req_header(), &self.providers) {
            // Boxed: they would make room for themselves in every native call.
            Ok(Recognised::Native(inbound)) if inbound.websocket => {
                Box::pin(self.serve_socket(connector, session, &call, inbound, marks)).await
            }
            Ok(Recognised::Native(inbound)) => {
                self.serve_native(connector, session, &call, inbound, marks).await
            }
            Ok(Recognised::Unified(inbound)) => {
                Box::pin(self.serve_unified(connector, session, &call, inbound, marks)).await
            }
            Err(stop) => self.stop(session, &call, &stop, marks).await,
        }
    }

    async fn serve_native(
        &self,
        connector: &Connector,
        session: &mut ServerSession,
        call: &Call,
        inbound: Inbound,
        mut marks: Marks,
    ) -> After {
        match self.decide(inbound, session.req_header()).await {
            Ok(permit) => {
                let source = permit.grant.credential().owner.source();
                marks.resolved(&permit.grant.provider().id, Some(source));
                self.exchange(connector, session, call, permit, marks).await
            }
            Err(stop) => self.stop(session, call, &stop, marks).await,
        }
    }

    pub async fn decide(&self, inbound: Inbound, head: &RequestHeader) -> Result<Permit, Stop> {
        let caller = authenticate(&self.callers, &inbound.presented)
            .await
            .map_err(|refusal| Seen::inbound(&inbound).stop(refusal))?;
        let route = route(&caller, &inbound, &head.method)?;
        let grant = authorise(caller, inbound, route, &self.vault, &self.app).await?;
        admit(grant, &head.headers, self.limits.max_body_bytes, &self.in_flight)
    }

    async fn exchange(
        &self,
        connector: &Connector,
        session: &mut ServerSession,
        call: &Call,
        permit: Permit,
        marks: Marks,
    ) -> After {
        let provider = permit.grant.provider();
        let _active = self.meters.active(&provider.id, Kind::Http);
        let headers = &session.req_header().headers;
        let mut attempt = Attempt::begin(&self.vault, &self.meters, call, &permit.grant, headers);
        let mut exchange = Exchange::new(self, connector, &permit, session, &marks, &mut attempt);
        let result = exchange.run().await;
        let answered = exchange.has_answered();
        attempt.end(result.as_ref().copied());
        match result {
            Ok(()) => {
                self.linger(session).await;
                After::Finish
            }
            Err(fault) => self.fail(session, &permit, &fault, answered, &marks).await,
        }
    }

    /// Tells the caller what went wrong, if nothing else has been said yet.
    pub async fn fail(
        &self,
        session: &mut ServerSession,
        permit: &Permit,
        fault: &Fault,
        answered: bool,
        marks: &Marks,
    ) -> After {
        match fault.refusal(permit.grant.provider()) {
            Some(refusal) if !answered => self.refuse(session, &permit.grant.seen(), &refusal, marks).await,
            _ => After::Cut,
        }
    }

    /// A request that went to no provider: on record, and its caller told.
    pub async fn stop(
        &self,
        session: &mut ServerSession,
        call: &Call,
        stop: &Stop,
        mut marks: Marks,
    ) -> After {
        let Stop { refusal, seen } = stop;
        if let Some(provider) = &seen.provider {
            marks.resolved(&provider.id, None);
        }
        refused(&self.vault, &self.meters, &self.strangers, call, seen, refusal);
        self.refuse(session, seen, refusal, &marks).await
    }

    pub async fn refuse(
        &self,
        session: &mut ServerSession,
        seen: &Seen,
        refusal: &Refusal,
        marks: &Marks,
    ) -> After {
        let mut reply = Reply::refusal(refusal, seen.dialect, seen.operation, &self.limits.public_url);
        marks.put(&mut reply.headers);
        let bodiless = is_bodiless(&session.req_header().method);
        self.say(session, reply, bodiless).await
    }

    /// Refuses a head that could not be read; there is no request to speak of, so nothing is recorded but
    /// a log line.
    pub async fn refuse_head(
        &self,
        session: &mut ServerSession,
        message: &'static str,
        cause: Option<String>,
    ) {
        let unknown = Method::from_bytes(b"-").unwrap_or_default();
        let call = Call::begin(unknown, peer_ip(session));
        let mut refusal = Refusal::new(Code::InvalidRequest, message);
        refusal.cause = cause;
        let seen = Seen::nothing(Dialect::Plain);
        refused(&self.vault, &self.meters, &self.strangers, &call, &seen, &refusal);
        let mut reply = Reply::refusal(&refusal, seen.dialect, None, &self.limits.public_url);
        Marks::new(call.id, None).put(&mut reply.headers);
        session.set_keepalive(None);
        // The caller may be gone, which changes nothing.
        reply.send(session, false).await.ok();
        session.shutdown().await;
    }

    async fn say(&self, session: &mut ServerSession, reply: Reply, bodiless: bool) -> After {
        match reply.send(session, bodiless).await {
            Ok(()) => {
                self.linger(session).await;
                After::Finish
            }
            Err(_) => After::Cut,
        }
    }

    /// Takes in, for a moment, what a caller goes on sending after an early answer. HTTP/2 tells it to
    /// stop; a caller who waits for `100 Continue` has nothing under way.
    pub async fn linger(&self, session: &mut ServerSession) {
        if session.is_http2() || session.is_body_done() {
            return;
        }
        session.shutdown().await;
        let rest = async { while let Ok(Some(_)) = session.read_request_body().await {} };
        // Whether it ended or ran out of time, the connection closes now.
        timeout(LINGER, rest).await.ok();
    }

    /// `/healthz`, `/readyz`, and preflights: what needs no token.
    async fn own_answer(&self, head: &RequestHeader, draining: bool) -> Option<Reply> {
        if cors::is_preflight(head) {
            self.cors.read().admit(head)?;
            return Some(cors::preflight(head));
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        match head.uri.path() {
            "/healthz" => Some(Reply::new(200, "text/plain", "ok\n")),
            "/readyz" if draining => Some(Reply::new(503, "text/plain", "draining\n")),
            "/readyz" if self.is_ready().await => Some(Reply::new(200, "text/plain", "ready\n")),
            "/readyz" => Some(Reply::new(503, "text/plain", "the database does not answer\n")),
            _ => None,
        }
    }

    async fn is_ready(&self) -> bool {
        let vault = self.vault.clone();
        self.app
            .spawn(async move { vault.ready().await })
            .await
            .unwrap_or(false)
    }
}

/// How pingora hands over the streams of an HTTP/2 connection. HTTP/1 connections are kept by
/// [`crate::listen`].
#[async_trait]
impl HttpServerApp for Worker {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        session.set_write_timeout(Some(self.gateway.limits.write_timeout));
        let draining = *shutdown.borrow();
        match self.serve(&mut session, draining).await {
            After::Finish => {
                // A stream that the caller has reset needs no end.
                session.finish().await.ok();
            }
            After::Cut => session.shutdown().await,
        }
        None
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.gateway.options)
    }
}
