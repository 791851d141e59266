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
use policies::rules;
use policies::socket::frames::CloseFrame;
use policies::socket::setup::Again;
use policies::socket::{First, FirstMessage, Passage};
use policies::vocabulary::{ClosedBy, Code, Refusal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::messages::{FromCaller, FromProvider, Messages, News, SocketEnd};
use super::pipe::{Break, Pipe};
use super::standing::{self, Looked, Mark};
use super::{breach, close_frame_of, model};
use crate::proxy::Gateway;
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::answer::{note, note_success};
use crate::stages::record::{Attempt, audit_refusal};

/// The grain of every limit here.
const TICK: Duration = Duration::from_secs(1);
/// How long a first message may take once it has begun.
const FIRST: Duration = Duration::from_secs(30);
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
    gateway: &'t Gateway,
    permit: &'t Permit,
    attempt: &'t mut Attempt<'c>,
    caller: Stream,
    provider: Stream,
    up: Pipe,
    down: Pipe,
    again: Option<Again>,
    mark: Mark,
    /// Once the end has begun, when it has to be over.
    deadline: Option<Instant>,
    /// The end is of our making.
    closing: bool,
    fault: Option<Fault>,
    /// What had moved at which time, as of the last look.
    moved: (u64, Instant),
    /// The same of what the provider has taken.
    taken: (u64, Instant),
    recorded: Instant,
    /// Since when a first message has been coming.
    waited: Instant,
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
    pub async fn run(mut self, mut draining: watch::Receiver<bool>) -> Result<(), Fault> {
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

    fn messages(&mut self) -> &mut Messages {
        self.attempt.messages()
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

    fn note_news(&mut self) {
        let grant = &self.permit.grant;
        let Some(news) = self.attempt.messages().news() else {
            return;
        };
        let (vault, by) = (&self.gateway.vault, self.attempt.actor());
        match news {
            News::Proven => note_success(vault, grant, by),
            News::Judged(judged) => {
                let code = rules::code_of(judged.verdict);
                self.attempt.code = code.or(self.attempt.code);
                if let Some(code) = code {
                    note(vault, grant, by, judged.verdict, code, judged.says);
                }
            }
        }
    }

    /// The first message is there: whether the session may be, and for which model.
    async fn decide(&mut self, message: FirstMessage) {
        let grant = &self.permit.grant;
        let Some(plan) = &grant.route().endpoint().socket.setup else {
            return;
        };
        match model::decide(self.gateway, grant, plan, &message).await {
            Ok(decided) => {
                self.attempt.messages().meter.decided(&decided.model);
                self.up.decided(&message, decided.instead);
                self.again = Some(Again::new(plan));
            }
            Err(refusal) => {
                let closing = close_frame_of(&refusal);
                self.refuse(refusal, closing, true);
            }
        }
    }

    /// What the caller sent may not pass.
    fn refuse(&mut self, refusal: Refusal, closing: CloseFrame, between_frames: bool) {
        let grant = &self.permit.grant;
        audit_refusal(&self.gateway.vault, self.attempt.call(), &grant.seen(), &refusal);
        self.fault = Some(Fault::Refused(refusal));
        self.messages().ended(ClosedBy::Gateway, closing.code);
        self.up.break_off(between_frames.then(close_for_provider));
        self.down.say(closing.frame(None));
        self.closing = true;
        self.end_by(CLOSE_LIMIT);
    }

    /// Ends it from here.
    fn close(&mut self, closing: CloseFrame) {
        self.messages().ended(ClosedBy::Gateway, closing.code);
        self.up.say(close_for_provider());
        self.down.say(closing.frame(None));
        self.closing = true;
        self.end_by(CLOSE_LIMIT);
    }

    fn end_by(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.deadline = Some(self.deadline.map_or(end, |earlier| earlier.min(end)));
    }

    fn stands(&mut self, looked: Looked) {
        self.mark = looked.mark;
        if let Some(closing) = looked.lost.filter(|_| self.deadline.is_none()) {
            self.close(closing);
        }
    }

    fn look_around(&mut self) {
        let (now, limits) = (Instant::now(), &self.gateway.limits);
        if now - self.recorded >= limits.socket_record_every {
            self.attempt.carried(self.up.read, self.down.read);
            self.attempt.so_far();
            self.recorded = now;
        }
        if self.deadline.is_some() {
            return;
        }
        if self.has_stuck(now) {
            let fault = Fault::TimedOut("sending messages");
            if let Some(refusal) = fault.refusal(self.permit.grant.provider()) {
                self.close(close_frame_of(&refusal));
            }
            self.fault = Some(fault);
            return;
        }
        if !self.up.waits_for_first() {
            self.waited = now;
        } else if now - self.waited >= FIRST {
            let message = "the first message has not come to its end in time";
            let refusal = Refusal::new(Code::InvalidRequest, message);
            let closing = close_frame_of(&refusal);
            return self.refuse(refusal, closing, true);
        }
        if self.is_idle(now) {
            let seconds = limits.socket_idle.as_secs();
            let reason = format!("neither side has sent anything for {seconds} seconds");
            self.close(CloseFrame::new(1001, &reason));
        }
    }

    fn is_idle(&mut self, now: Instant) -> bool {
        let moved = self.up.read + self.down.read;
        if moved != self.moved.0 {
            self.moved = (moved, now);
        }
        now - self.moved.1 >= self.gateway.limits.socket_idle
    }

    /// A provider that takes nothing while there is something. Callers are watched by their own connection.
    fn has_stuck(&mut self, now: Instant) -> bool {
        if self.up.written != self.taken.0 || self.up.has_written_all() {
            self.taken = (self.up.written, now);
        }
        now - self.taken.1 >= self.gateway.limits.write_timeout
    }

    async fn finish(mut self) -> Result<(), Fault> {
        let both = async {
            self.caller.shutdown().await;
            self.provider.shutdown().await;
        };
        // Whether or not they take it, both are closed now.
        timeout(CLOSE_LIMIT, both).await.ok();
        let (read_up, read_down) = (self.up.read, self.down.read);
        self.attempt.carried(read_up, read_down);
        self.messages().ended(ClosedBy::Provider, None);
        self.note_news();
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        match self.messages().end {
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
