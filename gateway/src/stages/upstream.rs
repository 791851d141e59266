//! One connection to a provider, or one stream of it, for one exchange.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Uri};
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{BError, Error, ErrorType, RetryType};
use policies::descriptor::{Origin, Timeouts};

use super::Fault;
use crate::gathered::Gathered;
use crate::resolve::{Addresses, Destination, Purpose};

/// Addresses of one name that are tried before it counts as unreachable.
const MAX_ADDRESSES: usize = 3;

/// A provider that takes nothing of the body for this long has lost interest, and may have said why.
const STUCK: Duration = Duration::from_secs(60);

/// Less than any provider needs to act on a call and then fail without an answer; more than news of a closed
/// connection takes.
const AT_ONCE: Duration = Duration::from_millis(50);

pub struct Upstream {
    /// Large, and handed from stage to stage.
    session: Box<HttpSession>,
    peer: Arc<HttpPeer>,
    purpose: Purpose,
    /// Taken from the pool, so the provider may have closed it meanwhile.
    pub reused: bool,
    answered: bool,
    finished: bool,
    /// Something was heard, if only an interim answer.
    heard: bool,
    /// The last of the request that was sent.
    sent: Instant,
    unheeded: bool,
}

/// What the provider sent next.
pub enum Event {
    Head,
    Chunk(Bytes),
    End,
}

impl Upstream {
    pub async fn open(
        connector: &Connector,
        addresses: &Addresses,
        origin: &Arc<Origin>,
        timeouts: Timeouts,
        purpose: Purpose,
    ) -> Result<Self, Fault> {
        let to = Destination {
            origin: origin.clone(),
            connect: timeouts.connect,
            purpose,
        };
        let mut peer = addresses.peer(&to).await.map_err(Fault::Unreachable)?;
        let mut tried = 1;
        loop {
            // Boxed: all that connecting may take needs more room than the rest of a call together, and would be
            // copied and kept with it.
            let error = match Box::pin(connector.get_http_session(&*peer)).await {
                Ok((session, reused)) => {
                    let as_it_is = reused || purpose == Purpose::Socket;
                    let mut session = Box::new(if as_it_is {
                        session
                    } else {
                        gathered(session, &peer)
                    });
                    session.set_write_timeout(Some(timeouts.idle.min(STUCK)));
                    return Ok(Self {
                        session,
                        peer,
                        purpose,
                        reused,
                        answered: false,
                        finished: false,
                        heard: false,
                        sent: Instant::now(),
                        unheeded: false,
                    });
                }
                Err(error) => error,
            };
            match addresses.next(&to, &peer) {
                Some(other) if tried < MAX_ADDRESSES => peer = other,
                _ => return Err(not_connected(&error)),
            }
            tried += 1;
        }
    }

    pub async fn send_head(&mut self, mut head: Box<RequestHeader>, last: bool) -> Result<(), BError> {
        self.sent = Instant::now();
        match &mut *self.session {
            HttpSession::H2(stream) => {
                for_http2(&mut head)?;
                stream.write_request_header(head, last)
            }
            session => session.write_request_header(head).await,
        }
    }

    /// A read may yield nothing but framing; an empty chunk would end a chunked body.
    pub async fn send(&mut self, chunk: Bytes) -> Result<(), BError> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.session.write_request_body(chunk, false).await?;
        self.sent = Instant::now();
        Ok(())
    }

    pub async fn finish(&mut self) -> Result<(), BError> {
        self.session.finish_request_body().await?;
        (self.finished, self.sent) = (true, Instant::now());
        Ok(())
    }

    /// Whether the whole request has been sent.
    pub fn is_sent(&self) -> bool {
        self.finished
    }

    /// Whether the exchange failed in a way that leaves no doubt that the provider has not begun with the request.
    pub fn was_unheeded(&self) -> bool {
        self.reused && self.unheeded
    }

    /// Whether the answer's head has come.
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    /// Waits for what comes next; interim answers (1xx) are for us and end here. May be dropped and called
    /// again without losing anything.
    pub async fn next(&mut self) -> Result<Event, BError> {
        while !self.answered {
            if let Err(error) = self.session.read_response_header().await {
                self.unheeded = !self.heard && self.leaves_unheeded(&error);
                return Err(error);
            }
            self.heard = true;
            match self.head().map(|head| head.status) {
                Some(StatusCode::SWITCHING_PROTOCOLS) if self.purpose == Purpose::Socket => {
                    self.answered = true;
                }
                Some(StatusCode::SWITCHING_PROTOCOLS) | None => {
                    return Error::e_explain(ErrorType::InvalidHTTPHeader, "a switch of protocols, unasked");
                }
                Some(status) if status.is_informational() => continue,
                Some(_) => self.answered = true,
            }
            return Ok(Event::Head);
        }
        match self.session.read_response_body().await? {
            Some(chunk) => Ok(Event::Chunk(chunk)),
            None => Ok(Event::End),
        }
    }

    /// HTTP/2 says so: the connection goes away, or the stream is refused. HTTP/1.1 does not, but a provider that gives
    /// up an idle connection in the moment in which a request sets out closes it at once, and without a word.
    fn leaves_unheeded(&self, error: &Error) -> bool {
        match &*self.session {
            HttpSession::H1(_) => {
                let is_end = matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError);
                let context = error.context.as_ref().map(|context| context.as_str());
                let said = !context.is_some_and(|context| context.ends_with("bytes already read: 0"));
                is_end && !said && self.sent.elapsed() < AT_ONCE
            }
            HttpSession::H2(_) => {
                *error.etype() == ErrorType::H2Error && matches!(error.retry, RetryType::Decided(true))
            }
            _ => false,
        }
    }

    pub fn head(&self) -> Option<&ResponseHeader> {
        self.session.response_header()
    }

    /// Whether the provider has agreed to a WebSocket.
    pub fn has_switched(&self) -> bool {
        self.answered
            && self
                .head()
                .is_some_and(|head| head.status == StatusCode::SWITCHING_PROTOCOLS)
    }

    /// The bare connection once the provider has agreed, and what came of it together with the answer.
    pub async fn switch(self) -> Result<(Stream, Bytes), Fault> {
        let HttpSession::H1(mut session) = *self.session else {
            return Err(Fault::Internal(
                "a WebSocket over something else than HTTP/1.1".into(),
            ));
        };
        let early = tokio::select! {
            biased;
            early = session.read_body_bytes() => early.map_err(|error| fault_of(&error, true))?,
            () = ready(()) => None,
        };
        Ok((session.into_inner(), early.unwrap_or_default()))
    }

    /// Whether the answer is known to be complete without waiting. HTTP/2 streams that were reset look
    /// complete too, so those are always read to their end.
    pub fn is_complete(&mut self) -> bool {
        match &mut *self.session {
            HttpSession::H1(session) => self.answered && session.is_body_done(),
            _ => false,
        }
    }

    /// Trailers of an answer that has been read to its end. HTTP/1.1 trailers are dropped by pingora.
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, BError> {
        match &mut *self.session {
            HttpSession::H2(stream) => stream.read_trailers().await,
            _ => Ok(None),
        }
    }

    /// Keeps the connection for later calls. Only after a complete request and a complete answer.
    pub async fn release(self, connector: &Connector) {
        let idle: Option<Duration> = self.peer.options.idle_timeout;
        connector
            .release_http_session(*self.session, &*self.peer, idle)
            .await;
    }

    /// Keeps the connection if both the request and the answer, which is known to be complete, are.
    pub async fn release_if_finished(self, connector: &Connector) {
        if self.finished {
            self.release(connector).await;
        } else {
            self.abort().await;
        }
    }

    /// Ends the exchange at once, in a way that the provider cannot take for completion.
    pub async fn abort(mut self) {
        if let HttpSession::H2(stream) = &mut *self.session {
            stream.shutdown();
        }
    }
}

/// A new HTTP/1.1 connection, set up to send heads and bodies together. It stays so in the pool; HTTP/2
/// gathers its frames itself.
fn gathered(session: HttpSession, peer: &HttpPeer) -> HttpSession {
    match session {
        HttpSession::H1(session) => {
            let stream = Box::new(Gathered::new(session.into_inner()));
            HttpSession::H1(Http1Session::new_with_options(stream, peer))
        }
        other => other,
    }
}

/// HTTP/2 has the host in `:authority` and delimits bodies itself.
fn for_http2(head: &mut RequestHeader) -> Result<(), BError> {
    head.remove_header(&TRANSFER_ENCODING);
    let target = head.uri.path_and_query().cloned();
    let host = head.remove_header(&HOST);
    let (Some(host), Some(target)) = (host, target) else {
        return Error::e_explain(
            ErrorType::InvalidHTTPHeader,
            "an upstream head without host or path",
        );
    };
    let uri = Uri::builder()
        .scheme("https")
        .authority(host.as_bytes())
        .path_and_query(target)
        .build();
    match uri {
        Ok(uri) => head.set_uri(uri),
        Err(error) => return Error::e_because(ErrorType::InvalidHTTPHeader, "naming the authority", error),
    }
    Ok(())
}

fn not_connected(error: &Error) -> Fault {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Fault::TimedOut("connecting"),
        _ => Fault::Unreachable(error.to_string()),
    }
}

/// What an error on an open connection means, before the answer's head and after it.
pub fn fault_of(error: &Error, answered: bool) -> Fault {
    match error.etype() {
        ErrorType::WriteTimedout => Fault::TimedOut("sending the request"),
        _ if answered => Fault::Broken(kind_of(error)),
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::InvalidH2 | ErrorType::H2Error => {
            Fault::Garbled(kind_of(error))
        }
        _ => Fault::Lost(kind_of(error)),
    }
}

/// What kind of error it is, for the log. Its own text may quote what was received.
pub fn kind_of(error: &Error) -> String {
    match error.source_str() {
        "" => error.reason_str().to_owned(),
        source => format!("{source} {}", error.reason_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_is_not_in_the_cause_of_a_fault() {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "buf: HTTP/1.1 secret").into_up();
        assert_eq!(fault_of(&error, false).cause(), "Upstream InvalidHTTPHeader");
        assert_eq!(fault_of(&error, true).cause(), "Upstream InvalidHTTPHeader");
    }
}
