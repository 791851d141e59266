//! Both directions of a WebSocket, what happens around them, and how they come to their end.
//!
//! Neither direction waits for the other. A close frame of one side passes to the other and its echo back; a side
//! that leaves without one takes the other along. Every [`TICK`] the connection looks around: whether anything
//! has moved, whether what it stands on still holds, and whether it is time to write down what was used.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Fuse, FusedFuture};
use pingora::protocols::Stream;
use policies::socket::frames::CloseFrame;
use policies::socket::setup::Again;
use policies::socket::{First, FirstMessage, Passage};
use policies::vocabulary::{ClosedBy, Refusal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::breach;
use super::messages::{FromCaller, FromProvider, SocketEnd};
use super::pipe::{Break, Pipe};
use super::standing::{self, Looked, Mark};
use crate::proxy::Gateway;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::record::{Attempt, audit_refusal};

/// The grain of every limit here.
const TICK: Duration = Duration::from_secs(1);
/// How long the second side may take once the first has left or closed.
const CLOSE_WAIT: Duration = Duration::from_secs(10);
/// How long both may take to answer a close frame of ours.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Both connections, once both sides have agreed.
pub struct Ends {
    pub caller: Stream,
    pub provider: Stream,
    /// What came with the heads.
    pub caller_early: Vec<u8>,
    pub provider_early: Vec<u8>,
}

pub struct Tunnel<'t, 'c> {
    pub(super) gateway: &'t Gateway,
    pub(super) permit: &'t Permit,
    pub(super) attempt: &'t mut Attempt<'c>,
    pub(super) caller: Stream,
    pub(super) provider: Stream,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    pub(super) again: Option<Again>,
    pub(super) mark: Mark,
    /// Once the end has begun, when it has to be over.
    pub(super) deadline: Option<Instant>,
    /// The end is of our making.
    pub(super) closing: bool,
    pub(super) fault: Option<Fault>,
    /// What had moved at which time, as of the last look.
    pub(super) moved: (u64, Instant),
    /// The same of what the provider has taken.
    pub(super) taken: (u64, Instant),
    pub(super) recorded: Instant,
    /// Since when a first message has been coming.
    pub(super) waited: Instant,
}

enum Step {
    First(FirstMessage),
    Refused {
        closing: CloseFrame,
        between_frames: bool,
    },
    /// One side has closed, or left.
    Ending,
    Over,
    Tick,
    Looked(Looked),
    Drain,
}

impl<'t, 'c> Tunnel<'t, 'c> {
    pub fn new(gateway: &'t Gateway, permit: &'t Permit, attempt: &'t mut Attempt<'c>, ends: Ends) -> Self {
        let plan = &permit.grant.route().endpoint().socket;
        let first = plan.setup.as_ref().map(|_| First::default());
        let now = Instant::now();
        Self {
            gateway,
            permit,
            up: Pipe::new(
                Passage::new(&plan.token_fields, plan.setup.is_some()),
                first,
                &ends.caller_early,
            ),
            down: Pipe::new(Passage::lenient(), None, &ends.provider_early),
            caller: ends.caller,
            provider: ends.provider,
            again: None,
            mark: Mark::default(),
            deadline: None,
            closing: false,
            fault: None,
            moved: (0, now),
            taken: (0, now),
            recorded: now,
            waited: now,
            attempt,
        }
    }

    /// Runs to the end. An error is what ended it before its time.
    ///
    /// Boxed, for what waits for hours must not be held twice: in this future, and again where it is handed on.
    pub async fn run(mut self: Box<Self>, mut draining: watch::Receiver<bool>) -> Result<(), Fault> {
        let alarm = sleep_until(Instant::now() + TICK);
        tokio::pin!(alarm);
        // Beside the messages, which do not wait for a database.
        let mut looking = Fuse::terminated();
        loop {
            let step = tokio::select! {
                biased;
                // Before the messages, of which there may be no end.
                () = alarm.as_mut() => Step::Tick,
                _ = draining.wait_for(|now| *now), if self.deadline.is_none() => Step::Drain,
                looked = &mut looking => Step::Looked(looked),
                step = poll_fn(|cx| self.poll(cx)) => step,
            };
            let mut due = alarm.deadline();
            match step {
                Step::First(message) => self.decide(message).await,
                Step::Refused {
                    closing,
                    between_frames,
                } => {
                    let (refusal, closing) = breach(&closing);
                    self.refuse(refusal, closing, between_frames);
                }
                Step::Ending => self.end_by(CLOSE_WAIT),
                Step::Drain => self.close(CloseFrame::new(1001, "the gateway is going away; connect again")),
                Step::Over => break,
                Step::Looked(looked) => self.stands(looked),
                Step::Tick => {
                    self.look_around();
                    due = Instant::now() + TICK;
                    let (gateway, grant, mark) = (self.gateway, &self.permit.grant, self.mark);
                    if looking.is_terminated() && standing::has_moved(gateway, mark) {
                        looking = Box::pin(standing::look(gateway, grant, mark)).fuse();
                    }
                }
            }
            let due = self.deadline.map_or(due, |end| end.min(due));
            if self.deadline.is_some_and(|end| end <= Instant::now()) {
                break;
            }
            if alarm.deadline() != due {
                alarm.as_mut().reset(due);
            }
        }
        self.finish().await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(step) = self.poll_up(cx) {
            return Poll::Ready(step);
        }
        if let Some(step) = self.poll_down(cx) {
            return Poll::Ready(step);
        }
        self.note_news();
        let messages = self.attempt.messages();
        let (caller, provider) = (messages.caller_closed, messages.provider_closed);
        let left = self.up.is_over() || self.down.is_over();
        let written = self.up.has_written_all() && self.down.has_written_all();
        let over = match self.closing {
            true => (caller || self.up.is_over()) && (provider || self.down.is_over()),
            false => caller && provider,
        };
        if (over && written) || (self.up.is_over() && self.down.is_over()) {
            return Poll::Ready(Step::Over);
        }
        if self.deadline.is_none() && (left || caller || provider) {
            return Poll::Ready(Step::Ending);
        }
        Poll::Pending
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Option<Step> {
        if self.up.is_over() {
            return None;
        }
        let mut ear = FromCaller {
            messages: self.attempt.messages(),
            again: self.again.as_mut(),
        };
        match self.up.poll(cx, &mut self.caller, &mut self.provider, &mut ear) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => {
                self.attempt.messages().ended(ClosedBy::Caller, None);
                None
            }
            Poll::Ready(Err(Break::First(message))) => Some(Step::First(message)),
            Poll::Ready(Err(Break::Refused {
                closing,
                between_frames,
            })) => Some(Step::Refused {
                closing,
                between_frames,
            }),
            // What the provider said before it closed may still be on its way.
            Poll::Ready(Err(Break::Unwritable(error))) => {
                tracing::debug!(%error, "the provider takes no more");
                self.up.stop();
                None
            }
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Option<Step> {
        if self.down.is_over() {
            return None;
        }
        let mut ear = FromProvider {
            messages: self.attempt.messages(),
            provider: self.permit.grant.provider(),
            secret: &self.permit.grant.credential().secret,
        };
        match self.down.poll(cx, &mut self.provider, &mut self.caller, &mut ear) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => {
                self.attempt.messages().ended(ClosedBy::Provider, None);
                None
            }
            // A caller that has closed need not wait for an echo.
            Poll::Ready(Err(Break::Unwritable(error))) => {
                let stalled = error.kind() == io::ErrorKind::TimedOut;
                let by = if stalled {
                    ClosedBy::Gateway
                } else {
                    ClosedBy::Caller
                };
                if self.attempt.messages().end.is_none() {
                    self.fault = Some(Fault::CallerLeft(error.to_string()));
                }
                self.attempt.messages().ended(by, None);
                Some(Step::Over)
            }
            Poll::Ready(Err(Break::First(_) | Break::Refused { .. })) => None,
        }
    }

    /// What the caller sent may not pass.
    pub(super) fn refuse(&mut self, refusal: Refusal, closing: CloseFrame, between_frames: bool) {
        let grant = &self.permit.grant;
        audit_refusal(&self.gateway.vault, self.attempt.call(), &grant.seen(), &refusal);
        self.fault = Some(Fault::Refused(refusal));
        self.up.break_off(between_frames.then(close_for_provider));
        self.close_caller(&closing);
    }

    /// Ends it from here.
    pub(super) fn close(&mut self, closing: CloseFrame) {
        self.up.say(close_for_provider());
        self.close_caller(&closing);
    }

    fn close_caller(&mut self, closing: &CloseFrame) {
        self.attempt.messages().ended(ClosedBy::Gateway, closing.code);
        self.down.say(closing.frame(None));
        self.closing = true;
        self.end_by(CLOSE_LIMIT);
    }

    fn end_by(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.deadline = Some(self.deadline.map_or(end, |earlier| earlier.min(end)));
    }

    async fn finish(&mut self) -> Result<(), Fault> {
        let both = async {
            self.caller.shutdown().await;
            self.provider.shutdown().await;
        };
        // Whether or not they take it, both are closed now.
        timeout(CLOSE_LIMIT, both).await.ok();
        let (read_up, read_down) = (self.up.read, self.down.read);
        self.attempt.carried(read_up, read_down);
        self.attempt.messages().ended(ClosedBy::Provider, None);
        self.note_news();
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        match self.attempt.messages().end {
            Some(SocketEnd {
                by: ClosedBy::Caller,
                code: None,
            }) => Err(Fault::CallerLeft(
                "the connection ended without a close frame".into(),
            )),
            Some(SocketEnd {
                by: ClosedBy::Provider,
                code: None,
            }) => Err(Fault::Broken("the connection ended without a close frame".into())),
            _ => Ok(()),
        }
    }
}

/// It need not know why. Masks are to be beyond a caller's guess, which these random bits are.
fn close_for_provider() -> Vec<u8> {
    let random = Uuid::now_v7().into_bytes();
    let mask = [random[12], random[13], random[14], random[15]];
    CloseFrame::new(1001, "").frame(Some(mask))
}
