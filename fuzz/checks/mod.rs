//! What must hold for whatever bytes a WebSocket carries. Fuzz targets look for input that breaks it;
//! `policies/tests/fuzz_seeds.rs` holds it for the seeds in `fuzz/seeds`.
#![allow(dead_code, reason = "each target uses its own part")]

pub mod first;
pub mod frames;
pub mod meter;
pub mod scrub;

use policies::socket::frames::{CloseFrame, Opcode, frame};
use policies::socket::{Ear, Passage, Violation};

/// What members of credentials are called.
pub fn fields() -> Vec<String> {
    ["xi-api-key", "xi_api_key", "authorization"]
        .map(str::to_owned)
        .to_vec()
}

/// Everything that is heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub messages: Vec<Message>,
    pub closings: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub binary: bool,
    pub payload: Vec<u8>,
    pub whole: bool,
}

impl Ear for Heard {
    fn listens(&self) -> bool {
        true
    }

    fn begin(&mut self, binary: bool) {
        self.messages.push(Message {
            binary,
            ..Message::default()
        });
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), CloseFrame> {
        let message = self.messages.last_mut().expect("payload comes inside a message");
        assert!(!message.whole, "payload comes behind a message");
        message.payload.extend(bytes);
        Ok(())
    }

    fn end(&mut self) {
        let message = self.messages.last_mut().expect("what ends has begun");
        assert!(!message.whole, "a message ends twice");
        message.whole = true;
    }

    fn closing(&mut self, payload: &mut [u8]) {
        self.closings.push(payload.to_vec());
    }
}

/// What became of bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    pub bytes: Vec<u8>,
    /// Waits for what comes next.
    pub held: Vec<u8>,
    pub refusal: Option<CloseFrame>,
    pub between_frames: bool,
    pub heard: Heard,
}

/// Passes bytes in pieces of this size.
pub fn pass(fields: &[String], bytes: &[u8], piece: usize) -> Passed {
    let mut passage = Passage::new(fields, false);
    let (mut buffer, mut passed, mut heard) = (Vec::new(), Vec::new(), Heard::default());
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend(piece);
        match passage.look(&mut buffer, &mut heard) {
            Ok(may_pass) => passed.extend(buffer.drain(..may_pass)),
            Err(Violation {
                closing,
                passing,
                between_frames,
            }) => {
                passed.extend(buffer.drain(..passing));
                return Passed {
                    bytes: passed,
                    held: Vec::new(),
                    refusal: Some(closing),
                    between_frames,
                    heard,
                };
            }
        }
    }
    Passed {
        bytes: passed,
        held: buffer,
        refusal: None,
        between_frames: passage.is_between_frames(),
        heard,
    }
}

/// An input's first two bytes say how the rest is cut.
pub fn cut(input: &[u8]) -> Option<(u8, usize, &[u8])> {
    let ([kind, piece], rest) = input.split_first_chunk()?;
    Some((*kind, usize::from(*piece).max(1), rest))
}

/// The pieces that an outcome must not depend on.
pub fn pieces(of: usize) -> [usize; 4] {
    [1, of, of + 1, usize::MAX]
}

/// A text message in frames of this length, pings in between: bytes that a search of its own hardly comes upon.
pub fn in_frames(payload: &[u8], length: usize) -> Vec<u8> {
    let mut parts = payload.chunks(length.max(1)).peekable();
    let mut bytes = Vec::new();
    let mut opcode = Opcode::Text;
    loop {
        let part = parts.next().unwrap_or_default();
        let mask = [part.len() as u8, 0x20, 0xff, bytes.len() as u8];
        let mut one = frame(opcode, Some(mask), part);
        if parts.peek().is_none() {
            bytes.extend(one);
            return bytes;
        }
        one[0] &= 0x7f;
        bytes.extend(one);
        bytes.extend(frame(Opcode::Ping, Some(mask), b"?"));
        opcode = Opcode::Continuation;
    }
}
