//! What is heard of a WebSocket's messages while they pass: what they consume, what they say about the key, and
//! how the connection ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use policies::descriptor::Provider;
use policies::rules::{self, Judged};
use policies::socket::frames::CloseFrame;
use policies::socket::setup::Again;
use policies::socket::{Ear, Side, SocketMeter, SocketReading};
use policies::vocabulary::ClosedBy;
use vault::Secret;

/// A frame that closes without a code counts as this (RFC 6455, 7.1.5).
const NO_CODE: u16 = 1005;
/// Codes of an end that nothing is wrong with.
const FINE: [u16; 3] = [1000, 1001, NO_CODE];

/// How a connection came to its end: what the first side to close said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketEnd {
    pub by: ClosedBy,
    /// `None`: it vanished without a word.
    pub code: Option<u16>,
}

impl SocketEnd {
    /// Whether the connection did what it was opened for, as far as can be told from its end.
    pub fn is_fine(&self) -> bool {
        match self.by {
            ClosedBy::Caller => self.code.is_some(),
            ClosedBy::Provider => self.code.is_some_and(|code| FINE.contains(&code)),
            ClosedBy::Gateway => false,
        }
    }
}

/// Everything heard so far.
pub struct Messages {
    pub meter: SocketMeter,
    pub from_caller: u64,
    pub from_provider: u64,
    asked: Option<Instant>,
    /// From the first that was asked to the first of an answer.
    pub first_answer: Option<Duration>,
    pub end: Option<SocketEnd>,
    /// Whose close frames have been heard.
    pub caller_closed: bool,
    pub provider_closed: bool,
    /// About the key, and not noted yet.
    judged: Option<Judged>,
    /// The provider has refused the key, or what it may do.
    pub refuses: bool,
    proven: bool,
}

/// What a message said about the key.
pub enum News {
    /// The provider does what was asked.
    Proven,
    Judged(Judged),
}

impl Messages {
    pub fn new(meter: SocketMeter) -> Self {
        Self {
            meter,
            from_caller: 0,
            from_provider: 0,
            asked: None,
            first_answer: None,
            end: None,
            caller_closed: false,
            provider_closed: false,
            judged: None,
            refuses: false,
            proven: false,
        }
    }

    pub fn reading(&self) -> SocketReading {
        self.meter.reading()
    }

    /// What has been heard about the key since this was last asked.
    pub fn news(&mut self) -> Option<News> {
        if let Some(judged) = self.judged.take() {
            self.refuses |= rules::code_of(judged.verdict).is_some();
            return Some(News::Judged(judged));
        }
        if self.first_answer.is_some() && !self.proven {
            self.proven = true;
            return Some(News::Proven);
        }
        None
    }

    /// Only the first close frame counts as the end; the other is its echo.
    pub fn ended(&mut self, by: ClosedBy, code: Option<u16>) {
        self.end.get_or_insert(SocketEnd { by, code });
    }

    fn heard_end(&mut self, side: Side) {
        let heard = self.meter.end(side);
        if heard.asks {
            self.asked.get_or_insert_with(Instant::now);
        }
        if heard.answers
            && self.first_answer.is_none()
            && let Some(asked) = self.asked
        {
            self.first_answer = Some(asked.elapsed());
        }
        if heard.judged.is_some() {
            self.judged = heard.judged;
        }
    }
}

/// Hears the caller.
pub struct FromCaller<'m> {
    pub messages: &'m mut Messages,
    /// Looks for what only a first message may hold.
    pub again: Option<&'m mut Again>,
}

impl Ear for FromCaller<'_> {
    fn listens(&self) -> bool {
        self.again.is_some() || self.messages.meter.reads(Side::Caller)
    }

    fn begin(&mut self, binary: bool) {
        self.messages.from_caller += 1;
        self.messages.meter.begin(Side::Caller, binary);
        if let Some(again) = &mut self.again {
            again.begin();
        }
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), CloseFrame> {
        self.messages.meter.payload(Side::Caller, bytes);
        let later = self.messages.from_caller > 1;
        let again = later && self.again.as_mut().is_some_and(|again| again.feed(bytes));
        match again {
            true => Err(CloseFrame::new(1008, "the session is set up already")),
            false => Ok(()),
        }
    }

    fn end(&mut self) {
        self.messages.heard_end(Side::Caller);
    }

    fn closing(&mut self, payload: &mut [u8]) {
        let code = CloseFrame::read(payload).code;
        self.messages.caller_closed = true;
        self.messages
            .ended(ClosedBy::Caller, Some(code.unwrap_or(NO_CODE)));
    }
}

/// Hears the provider. What repeats the key does not pass it on: whoever pays need not be the caller. What the caller has
/// closed with comes back as an echo, so that a closing after its own says nothing about the key.
pub struct FromProvider<'m> {
    pub messages: &'m mut Messages,
    pub provider: &'m Arc<Provider>,
    pub secret: &'m Secret,
}

impl Ear for FromProvider<'_> {
    fn received(&mut self, bytes: &mut [u8]) {
        self.secret.conceal_in(bytes);
    }

    fn listens(&self) -> bool {
        self.messages.meter.reads(Side::Provider)
    }

    fn begin(&mut self, binary: bool) {
        self.messages.from_provider += 1;
        self.messages.meter.begin(Side::Provider, binary);
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), CloseFrame> {
        self.messages.meter.payload(Side::Provider, bytes);
        Ok(())
    }

    fn end(&mut self) {
        self.messages.heard_end(Side::Provider);
    }

    fn closing(&mut self, payload: &mut [u8]) {
        let closing = CloseFrame::read(payload);
        let code = closing.code.unwrap_or(NO_CODE);
        let first = self.messages.end.is_none();
        self.messages.provider_closed = true;
        self.messages.ended(ClosedBy::Provider, Some(code));
        if first && let Some(judged) = rules::judge_close(self.provider, code, &closing.reason) {
            self.messages.judged = Some(judged);
        }
    }
}
