//! The first message of a connection, held back until it is whole: a session may be decided by it.
//!
//! Frames that control may come before it and between its parts. They are held back with it, in their places.

use serde_json::Value;

use super::frames::{CloseFrame, FrameReader, Head, LONGEST_CONTROL, Next, Opcode, frame, unmask};
use crate::rules::without_scheme;
use crate::vocabulary::PresentedToken;

/// More frames than any SDK makes of a message.
const MOST_PARTS: usize = 4096;

/// A first message that is whole, unmasked and in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstMessage {
    pub payload: Vec<u8>,
    pub binary: bool,
    /// Where the frames are that hold it, in the buffer that was looked at.
    parts: Vec<(usize, usize)>,
    mask: Option<[u8; 4]>,
}

#[derive(Debug, Default)]
pub struct First {
    frames: FrameReader,
    seen: usize,
    frame_at: usize,
    head: Option<Head>,
    message: Option<FirstMessage>,
    closed: bool,
}

impl First {
    /// Reads what is new in a buffer of all that has come; nothing of it may be removed before the message is
    /// whole. An error is what to close the connection with.
    pub fn look(&mut self, buffer: &[u8], most: usize) -> Result<Option<FirstMessage>, CloseFrame> {
        if buffer.len() > most {
            return Err(CloseFrame::new(1009, "the first message is too long"));
        }
        while !self.closed {
            let begins = self.seen;
            let (taken, next) = self.frames.next(&buffer[begins..]);
            self.seen += taken;
            match next {
                Next::Head(head) => self.begin_frame(head)?,
                Next::Payload { length, at, ends } => {
                    self.payload(&buffer[begins..begins + length], at);
                    if ends && self.end_frame() {
                        return Ok(self.message.take());
                    }
                }
                Next::More => break,
            }
        }
        Ok(None)
    }

    /// Where the frame ends with which the caller has closed instead.
    pub fn closed_at(&self) -> Option<usize> {
        self.closed.then_some(self.seen)
    }

    fn begin_frame(&mut self, head: Head) -> Result<(), CloseFrame> {
        let fits = match head.opcode {
            Opcode::Text | Opcode::Binary => self.message.is_none(),
            Opcode::Continuation => self
                .message
                .as_ref()
                .is_some_and(|message| message.parts.len() < MOST_PARTS),
            Opcode::Close | Opcode::Ping | Opcode::Pong => head.last && head.length <= LONGEST_CONTROL as u64,
            Opcode::Other(_) => false,
        };
        if !fits || head.reserved || head.mask.is_none() {
            return Err(CloseFrame::new(
                1002,
                "the first message is not framed as it must be",
            ));
        }
        if matches!(head.opcode, Opcode::Text | Opcode::Binary) {
            self.message = Some(FirstMessage {
                payload: Vec::new(),
                binary: head.opcode == Opcode::Binary,
                parts: Vec::new(),
                mask: head.mask,
            });
        }
        self.head = Some(head);
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8], at: u64) {
        let (Some(head), Some(message)) = (self.head, &mut self.message) else {
            return;
        };
        if head.opcode.controls() {
            return;
        }
        let begins = message.payload.len();
        message.payload.extend(bytes);
        unmask(head.mask.unwrap_or_default(), at, &mut message.payload[begins..]);
    }

    /// True when the message is whole.
    fn end_frame(&mut self) -> bool {
        let begins = std::mem::replace(&mut self.frame_at, self.seen);
        let Some(head) = self.head.take() else {
            return false;
        };
        match head.opcode {
            Opcode::Close => self.closed = true,
            opcode if !opcode.controls() => {
                if let Some(message) = &mut self.message {
                    message.parts.push((begins, self.seen));
                }
                return head.last;
            }
            _ => {}
        }
        false
    }
}

impl FirstMessage {
    /// The tokens that its members of these names show.
    pub fn tokens(&self, fields: &[String]) -> Vec<PresentedToken> {
        let Ok(Value::Object(members)) = serde_json::from_slice(&self.payload) else {
            return Vec::new();
        };
        let shown = fields.iter().filter_map(|field| members.get(field)?.as_str());
        let tokens = shown.map(without_scheme).filter(|token| !token.is_empty());
        tokens.map(PresentedToken::new).collect()
    }

    /// The buffer it came in, with another message in its place: in one frame, where its first one was.
    pub fn replaced(&self, buffer: &[u8], payload: &[u8]) -> Vec<u8> {
        let opcode = if self.binary { Opcode::Binary } else { Opcode::Text };
        let mut bytes = Vec::with_capacity(buffer.len() + payload.len());
        let mut kept_to = 0;
        for (nth, (begins, ends)) in self.parts.iter().enumerate() {
            bytes.extend(&buffer[kept_to..*begins]);
            if nth == 0 {
                bytes.extend(frame(opcode, self.mask, payload));
            }
            kept_to = *ends;
        }
        bytes.extend(&buffer[kept_to..]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: Option<[u8; 4]> = Some([9, 8, 7, 6]);

    fn parts() -> Vec<u8> {
        let mut first = frame(Opcode::Text, MASK, b"{\"setup\"");
        first[0] &= 0x7f;
        [
            frame(Opcode::Ping, MASK, b"1"),
            first,
            frame(Opcode::Ping, MASK, b"2"),
            frame(Opcode::Continuation, Some([0, 1, 2, 3]), b":{}}"),
            frame(Opcode::Text, MASK, b"next"),
        ]
        .concat()
    }

    #[test]
    fn a_message_in_parts_is_whole_at_its_last() {
        let bytes = parts();
        let ends = bytes.len() - 10;
        let mut first = First::default();
        for length in 0..ends {
            assert_eq!(first.look(&bytes[..length], 1000).unwrap(), None);
        }
        let message = first.look(&bytes[..ends], 1000).unwrap().unwrap();
        assert_eq!(
            (message.payload.as_slice(), message.binary),
            (b"{\"setup\":{}}".as_slice(), false)
        );
    }

    #[test]
    fn another_takes_its_place_and_what_stands_around_it_stays() {
        let bytes = parts();
        let message = First::default().look(&bytes, 1000).unwrap().unwrap();
        let expected = [
            frame(Opcode::Ping, MASK, b"1"),
            frame(Opcode::Text, MASK, b"other"),
            frame(Opcode::Ping, MASK, b"2"),
            frame(Opcode::Text, MASK, b"next"),
        ];
        assert_eq!(message.replaced(&bytes, b"other"), expected.concat());
    }

    #[test]
    fn the_tokens_it_shows_are_found_in_the_order_of_the_fields() {
        let shown = |text: &[u8]| {
            let bytes = frame(Opcode::Text, MASK, text);
            let message = First::default().look(&bytes, 1000).unwrap().unwrap();
            let fields = ["xi-api-key", "authorization"].map(str::to_owned);
            let tokens = message.tokens(&fields);
            tokens
                .iter()
                .map(|token| token.expose().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            shown(br#"{"authorization":"Bearer B","text":" ","xi-api-key":"A"}"#),
            ["A", "B"]
        );
        for none in [
            br#"{"xi-api-key":1,"authorization":""}"#.as_slice(),
            b"[]",
            b"xi-api-key",
        ] {
            assert!(shown(none).is_empty());
        }
    }

    #[test]
    fn what_is_too_long_or_not_framed_is_refused_and_a_close_frame_is_one() {
        let code = |bytes: &[u8], most| First::default().look(bytes, most).unwrap_err().code;
        assert_eq!(code(&frame(Opcode::Text, MASK, &[b' '; 300]), 200), Some(1009));
        assert_eq!(code(&frame(Opcode::Text, None, b"{}"), 200), Some(1002));
        assert_eq!(code(&frame(Opcode::Continuation, MASK, b"{}"), 200), Some(1002));
        let mut first = First::default();
        assert_eq!(first.look(&CloseFrame::new(1000, "").frame(MASK), 200), Ok(None));
        assert!(first.closed_at().is_some());
    }
}
