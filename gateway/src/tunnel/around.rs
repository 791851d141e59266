//! What goes on around the messages of a WebSocket: the decision on its first one, what was heard about the key, and a
//! look, at every tick, whether it may and should go on.

use std::time::Duration;

use policies::rules;
use policies::socket::FirstMessage;
use policies::socket::frames::CloseFrame;
use policies::socket::setup::Again;
use policies::vocabulary::{Code, Refusal};
use tokio::time::Instant;

use super::messages::News;
use super::relay::Tunnel;
use super::standing::Looked;
use super::{close_frame_of, model};
use crate::stages::Fault;
use crate::stages::answer::{note, note_success};

/// How long a first message may take once it has begun.
const FIRST: Duration = Duration::from_secs(30);

impl Tunnel<'_, '_> {
    pub(super) fn note_news(&mut self) {
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
    pub(super) async fn decide(&mut self, message: FirstMessage) {
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

    pub(super) fn stands(&mut self, looked: Looked) {
        self.mark = looked.mark;
        if let Some(closing) = looked.lost.filter(|_| self.deadline.is_none()) {
            self.close(closing);
        }
    }

    pub(super) fn look_around(&mut self) {
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
}
