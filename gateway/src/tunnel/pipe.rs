//! One direction of a WebSocket: reads from one side, lets pass what may, and writes it to the other.
//!
//! It reads only when the other side has taken everything, so that a slow reader slows the writer and nothing
//! grows. Bytes are read into room that all connections of a thread share; a connection that waits holds none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use policies::socket::frames::CloseFrame;
use policies::socket::{Ear, First, FirstMessage, Passage, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As much as one record of TLS holds.
const ROOM: usize = 16 * 1024;

/// After this many reads it is the other direction's turn, and other connections'.
const TURN: usize = 8;

/// What may be held back because of a name that is not read to its end: the name, and what is sent between its parts.
const LONGEST_HELD: usize = 64 * 1024;

/// A first message may hold a long instruction for a model, and some history.
const LONGEST_FIRST: usize = 1024 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM].into());
}

/// Why a direction stops before its end.
#[derive(Debug)]
pub enum Break {
    /// The first message is whole; nothing has passed yet.
    First(FirstMessage),
    /// What was read may not pass, and this says why; whether a frame of ours may still follow what has passed.
    Refused {
        closing: CloseFrame,
        between_frames: bool,
    },
    /// The other side takes no more.
    Unwritable(io::Error),
}

pub struct Pipe {
    passage: Passage,
    /// Holds everything back until the first message has been decided on.
    first: Option<First>,
    /// Something has come with the head.
    early: bool,
    /// Read, and not let pass yet.
    held: BytesMut,
    /// Let pass, and not written yet.
    ready: BytesMut,
    unflushed: bool,
    /// What is read makes no sense any more, and is not looked at.
    deaf: bool,
    state: State,
    /// How much was read and how much was written.
    pub read: u64,
    pub written: u64,
}

enum State {
    Passing,
    /// Our own close frame goes out at the next frame's beginning; what else is read is heard and not passed on.
    Closing(Vec<u8>),
    Closed,
    /// The other side is told that nothing more comes, in the middle of a frame.
    Cut,
    /// Nothing more comes. The other side is told once all is written.
    Ended,
    Over,
}

impl Pipe {
    pub fn new(passage: Passage, first: Option<First>, early: &[u8]) -> Self {
        Self {
            passage,
            first,
            early: !early.is_empty(),
            held: BytesMut::from(early),
            ready: BytesMut::new(),
            unflushed: false,
            deaf: false,
            state: State::Passing,
            read: early.len() as u64,
            written: 0,
        }
    }

    /// A first message has begun and is not whole.
    pub fn waits_for_first(&self) -> bool {
        self.first.is_some() && !self.held.is_empty()
    }

    /// No more will pass.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether everything that may pass has been written.
    pub fn has_written_all(&self) -> bool {
        self.ready.is_empty() && !self.unflushed
    }

    /// The first message may pass, or this in its place.
    pub fn decided(&mut self, message: &FirstMessage, instead: Option<Vec<u8>>) {
        self.first = None;
        if let Some(payload) = instead {
            self.held = BytesMut::from(message.replaced(&self.held, &payload).as_slice());
        }
    }

    /// Ends what passes with a frame of ours, as soon as one may stand there.
    pub fn say(&mut self, words: Vec<u8>) {
        if matches!(self.state, State::Passing) {
            if self.first.take().is_some() {
                self.held = BytesMut::new();
            }
            self.state = State::Closing(words);
        }
    }

    /// Ends what passes at once: with these words if a frame may stand there. What else is sent is taken in and
    /// dropped, for to close a connection on unread bytes would take our close frame from its reader.
    pub fn break_off(&mut self, words: Option<Vec<u8>>) {
        self.first = None;
        match words {
            Some(words) => {
                self.ready.extend_from_slice(&words);
                self.state = State::Closed;
            }
            None => self.state = State::Cut,
        }
    }

    /// Ends it without a word.
    pub fn stop(&mut self) {
        self.state = State::Over;
        (self.held, self.ready) = (BytesMut::new(), BytesMut::new());
    }

    /// Passes on what there is. Ready without an error: it has come to its end.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        ear: &mut impl Ear,
    ) -> Poll<Result<(), Break>> {
        if std::mem::take(&mut self.early) {
            ear.received(&mut self.held);
        }
        // What came with the head, or was held for a decision that has been made.
        if !self.held.is_empty() && self.ready.is_empty() {
            self.look_at_held(ear)?;
        }
        for _ in 0..TURN {
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_write(cx, to)).map_err(Break::Unwritable)?;
            if let State::Closing(words) = &mut self.state
                && self.passage.is_between_frames()
            {
                self.ready.extend_from_slice(words);
                self.state = State::Closed;
                continue;
            }
            if matches!(self.state, State::Cut) {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).ok();
                self.state = State::Closed;
            }
            if matches!(self.state, State::Ended) {
                // A side that is gone cannot be told, and need not be.
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).ok();
                self.stop();
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_read(cx, from, to, ear))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        while !self.ready.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.ready))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.ready.advance(written);
            self.written += written as u64;
            self.unflushed = true;
        }
        if self.unflushed {
            // Room that was needed once is not kept for the connection's life.
            self.ready = BytesMut::new();
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        ear: &mut impl Ear,
    ) -> Poll<Result<(), Break>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            // A connection that breaks has ended; what it was to say is not to be had any more.
            let read = ready!(Pin::new(from).poll_read(cx, &mut buffer)).map(|()| buffer.filled_mut());
            let bytes = match read {
                Ok(bytes) if !bytes.is_empty() => bytes,
                _ => {
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
            };
            self.read += bytes.len() as u64;
            ear.received(bytes);
            if self.deaf {
                return Poll::Ready(Ok(()));
            }
            if !self.held.is_empty() || self.first.is_some() {
                self.held.extend_from_slice(bytes);
                return Poll::Ready(self.look_at_held(ear));
            }
            let passing = match self.look(bytes, ear) {
                Ok(passing) => passing,
                Err(refusal) => return Poll::Ready(Err(self.refused(refusal, bytes))),
            };
            let (passing, held) = bytes.split_at(passing);
            self.held.extend_from_slice(held);
            // At most a read's worth, which is less than is too much.
            self.pass(cx, passing, to)
        })
    }

    /// Past our close frame nothing passes, but that of the other side is still waited for.
    fn look(&mut self, bytes: &mut [u8], ear: &mut impl Ear) -> Result<usize, Violation> {
        match (&self.state, self.passage.look(bytes, ear)) {
            (State::Closed, Err(_)) => {
                self.state = State::Ended;
                Ok(bytes.len())
            }
            (_, looked) => looked,
        }
    }

    /// Lets go what came before a refused frame; behind it nothing is read any more.
    fn refused(&mut self, refusal: Violation, bytes: &[u8]) -> Break {
        self.ready.extend_from_slice(&bytes[..refusal.passing]);
        self.give_up(refusal.closing, refusal.between_frames)
    }

    fn give_up(&mut self, closing: CloseFrame, between_frames: bool) -> Break {
        (self.held, self.deaf) = (BytesMut::new(), true);
        Break::Refused {
            closing,
            between_frames,
        }
    }

    /// Written at once as far as the other side takes it; only the rest is kept.
    fn pass(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: &mut Stream) -> Poll<Result<(), Break>> {
        if bytes.is_empty() || matches!(self.state, State::Closed | State::Ended) {
            return Poll::Ready(Ok(()));
        }
        let written = match Pin::new(to).poll_write(cx, bytes) {
            Poll::Ready(written) => written.map_err(Break::Unwritable)?,
            Poll::Pending => 0,
        };
        self.written += written as u64;
        self.unflushed = true;
        self.ready.extend_from_slice(&bytes[written..]);
        Poll::Ready(Ok(()))
    }

    fn look_at_held(&mut self, ear: &mut impl Ear) -> Result<(), Break> {
        let mut closes = false;
        if let Some(first) = &mut self.first {
            match first.look(&self.held, LONGEST_FIRST) {
                Ok(Some(message)) => return Err(Break::First(message)),
                Ok(None) => match first.closed_at() {
                    // Nothing may follow a closing, and nobody has looked at what does.
                    Some(end) => {
                        self.held.truncate(end);
                        closes = true;
                    }
                    None => return Ok(()),
                },
                Err(closing) => return Err(self.give_up(closing, true)),
            }
        }
        self.first = None;
        let mut held = std::mem::take(&mut self.held);
        let looked = self.look(&mut held, ear);
        self.deaf |= closes;
        match looked {
            Ok(passing) => {
                let passed = held.split_to(passing);
                if matches!(self.state, State::Passing | State::Closing(_)) {
                    self.ready.extend_from_slice(&passed);
                }
                if held.len() > LONGEST_HELD {
                    let closing = CloseFrame::new(1008, "a message is in too many parts to be read");
                    return Err(self.give_up(closing, false));
                }
                // A copy, so that a long message's room is not kept for what little is left.
                self.held = BytesMut::from(held.as_ref());
                Ok(())
            }
            Err(refusal) => Err(self.refused(refusal, &held)),
        }
    }
}
