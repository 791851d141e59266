//! One direction of a WebSocket as it passes: which of the bytes that have come may go on, with the credentials
//! in them painted over, and what is heard in them on the way.
//!
//! Where credentials have to be found the caller is held to the protocol's letter, for whoever reads a frame
//! in another way than its provider could be made to let one pass. Everywhere else what makes no sense passes
//! as it is: the other side will say so.

use std::ops::Range;

use super::frames::{CloseFrame, FrameReader, Head, LONGEST_CONTROL, Next, Opcode, unmask};
use super::scrub::{Scrubber, Unsearchable};

/// Payload is unmasked in pieces of this size, beside the bytes that pass.
const PIECE: usize = 2 * 1024;

/// Who hears what passes. Payload comes unmasked, in pieces of any size.
pub trait Ear {
    /// Bytes as they come, before anything else; what is changed in them passes so.
    fn received(&mut self, _bytes: &mut [u8]) {}
    /// Whether payload is wanted at all.
    fn listens(&self) -> bool;
    fn begin(&mut self, binary: bool);
    /// An error closes the connection.
    fn payload(&mut self, bytes: &[u8]) -> Result<(), CloseFrame>;
    fn end(&mut self);
    /// The payload of a frame that closes, before it passes; what is changed in it passes so.
    fn closing(&mut self, payload: &mut [u8]);
}

/// Why nothing more may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What to close the connection with.
    pub closing: CloseFrame,
    /// This much of the buffer comes before it, and may pass.
    pub passing: usize,
    /// Whether that ends between two frames, so that one of ours may follow.
    pub between_frames: bool,
}

/// A piece of payload that has not passed yet: where in the buffer it is, and how it was masked.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Place in its message.
    message_at: u64,
    buffer_at: usize,
    length: usize,
    mask: [u8; 4],
    /// Place in its frame.
    frame_at: u64,
}

#[derive(Debug)]
pub struct Passage {
    frames: FrameReader,
    frame: Option<Frame>,
    /// Where the frame begins, if that has not passed yet.
    frame_begins: Option<usize>,
    /// A message is under way, and it is binary.
    message: Option<bool>,
    /// How much of the message's payload there has been.
    message_at: u64,
    scrubber: Option<Scrubber>,
    /// Whether frames have to be framed by the letter.
    strict: bool,
    /// How much of the buffer has been read.
    seen: usize,
    /// Payload in the part of the buffer that is withheld.
    spans: Vec<Span>,
    paint: Vec<Range<u64>>,
    /// Where the payload of a frame that closes begins, which passes as a whole.
    closing: Option<usize>,
}

/// The frame that bytes are in, and what is to be done with them.
#[derive(Clone, Copy, Debug)]
struct Frame {
    head: Head,
    content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Text,
    Binary,
    Close,
    /// Nobody's business: pings, pongs, and what makes no sense.
    Unread,
}

impl Passage {
    /// Where nothing is looked for on which something depends.
    pub fn lenient() -> Self {
        Self::new(&[], false)
    }

    /// Members of these names do not pass; `strict`: frames must make sense, as they also must where there are names.
    pub fn new(token_fields: &[String], strict: bool) -> Self {
        Self {
            frames: FrameReader::default(),
            frame: None,
            frame_begins: None,
            message: None,
            message_at: 0,
            scrubber: (!token_fields.is_empty()).then(|| Scrubber::new(token_fields)),
            strict: strict || !token_fields.is_empty(),
            seen: 0,
            spans: Vec::new(),
            paint: Vec::new(),
            closing: None,
        }
    }

    /// Whether what has passed ends between two frames, so that one of ours may follow. Half a head does not pass.
    pub fn is_between_frames(&self) -> bool {
        self.frames.head_so_far() == Some(self.seen)
    }

    /// Reads what is new in a buffer of bytes that have not passed yet, and tells how many of them may, which the
    /// next buffer begins behind.
    pub fn look(&mut self, buffer: &mut [u8], ear: &mut impl Ear) -> Result<usize, Violation> {
        loop {
            let head_so_far = self.frames.head_so_far();
            let (taken, next) = self.frames.next(&buffer[self.seen..]);
            let looked = match next {
                Next::Head(head) => {
                    self.frame_begins = head_so_far.map(|so_far| self.seen - so_far);
                    self.begin_frame(head, ear)
                }
                Next::Payload { length, at, ends } => {
                    let looked = self.payload(buffer, length, at, ear);
                    if ends && looked.is_ok() {
                        self.end_frame(ear);
                    }
                    looked
                }
                Next::More => {
                    self.seen += taken;
                    return Ok(self.passing());
                }
            };
            looked.map_err(|closing| self.refusal(closing))?;
            self.seen += taken;
        }
    }

    fn refusal(&self, closing: CloseFrame) -> Violation {
        Violation {
            closing,
            passing: self.frame_begins.unwrap_or_default(),
            between_frames: self.frame_begins.is_some(),
        }
    }

    /// How much of what was read may go, after which the rest is at the buffer's beginning.
    fn passing(&mut self) -> usize {
        let held = self.scrubber.as_ref().and_then(Scrubber::held);
        let withheld = held.and_then(|held| {
            let in_span = |span: &&Span| held < span.message_at + span.length as u64;
            let span = self.spans.iter().find(in_span)?;
            Some(span.buffer_at + held.saturating_sub(span.message_at) as usize)
        });
        let whole = self.seen - self.frames.head_so_far().unwrap_or_default();
        let passing = withheld.or(self.closing).unwrap_or(whole);
        self.seen -= passing;
        self.closing = self.closing.map(|begins| begins - passing);
        self.frame_begins = self.frame_begins.and_then(|begins| begins.checked_sub(passing));
        self.spans.retain(|span| span.buffer_at + span.length > passing);
        for span in &mut self.spans {
            // One that has begun to pass begins before the buffer does now.
            let gone = passing.saturating_sub(span.buffer_at);
            span.buffer_at = span.buffer_at.saturating_sub(passing);
            (span.length, span.message_at) = (span.length - gone, span.message_at + gone as u64);
            span.frame_at += gone as u64;
        }
        passing
    }

    fn begin_frame(&mut self, head: Head, ear: &mut impl Ear) -> Result<(), CloseFrame> {
        if self.strict {
            self.is_by_the_letter(&head)?;
        }
        let content = match head.opcode {
            Opcode::Text | Opcode::Binary if !head.reserved => {
                let binary = head.opcode == Opcode::Binary;
                if self.message.replace(binary).is_some() {
                    ear.end();
                }
                self.begin_message(binary, ear);
                self.message_content()
            }
            Opcode::Continuation if !head.reserved => self.message_content(),
            Opcode::Close if head.length <= LONGEST_CONTROL as u64 => Content::Close,
            _ => Content::Unread,
        };
        self.frame = Some(Frame { head, content });
        Ok(())
    }

    fn begin_message(&mut self, binary: bool, ear: &mut impl Ear) {
        self.message_at = 0;
        if let Some(scrubber) = &mut self.scrubber {
            scrubber.begin(binary);
        }
        ear.begin(binary);
    }

    fn message_content(&self) -> Content {
        match self.message {
            Some(false) => Content::Text,
            Some(true) => Content::Binary,
            None => Content::Unread,
        }
    }

    fn is_by_the_letter(&self, head: &Head) -> Result<(), CloseFrame> {
        let refuse = |why| Err(CloseFrame::new(1002, why));
        if head.reserved {
            return refuse("a frame uses an extension that was not agreed on");
        }
        if head.mask.is_none() {
            return refuse("a frame is not masked");
        }
        let in_message = self.message.is_some();
        match head.opcode {
            Opcode::Other(_) => refuse("a frame is of an unknown kind"),
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                match head.last && head.length <= LONGEST_CONTROL as u64 {
                    true => Ok(()),
                    false => refuse("a control frame is in parts or too long"),
                }
            }
            Opcode::Text | Opcode::Binary if in_message => refuse("a message begins inside another"),
            Opcode::Continuation if !in_message => refuse("a message goes on that has not begun"),
            _ => Ok(()),
        }
    }

    fn payload(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        frame_at: u64,
        ear: &mut impl Ear,
    ) -> Result<(), CloseFrame> {
        let Some(Frame { head, content }) = self.frame else {
            return Ok(());
        };
        let begins = self.seen;
        match content {
            Content::Unread => {}
            Content::Close => {
                let begins = *self.closing.get_or_insert(begins);
                let payload = &mut buffer[begins..self.seen + length];
                if payload.len() as u64 == head.length {
                    let mask = head.mask.unwrap_or_default();
                    unmask(mask, 0, payload);
                    ear.closing(payload);
                    unmask(mask, 0, payload);
                    self.closing = None;
                }
            }
            Content::Text | Content::Binary => {
                let scrubs = self.scrubber.is_some();
                if scrubs || ear.listens() {
                    self.read(&buffer[begins..begins + length], frame_at, head.mask, scrubs, ear)?;
                }
                if scrubs {
                    self.withhold(begins, length, frame_at, head.mask.unwrap_or_default());
                    self.paint_over(buffer);
                }
                self.message_at += length as u64;
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        bytes: &[u8],
        frame_at: u64,
        mask: Option<[u8; 4]>,
        scrubs: bool,
        ear: &mut impl Ear,
    ) -> Result<(), CloseFrame> {
        let Some(mask) = mask else {
            return self.hear(bytes, scrubs, ear);
        };
        let mut plain = [0; PIECE];
        for (nth, masked) in bytes.chunks(PIECE).enumerate() {
            let plain = &mut plain[..masked.len()];
            plain.copy_from_slice(masked);
            unmask(mask, frame_at + (nth * PIECE) as u64, plain);
            self.hear(plain, scrubs, ear)?;
        }
        Ok(())
    }

    fn hear(&mut self, plain: &[u8], scrubs: bool, ear: &mut impl Ear) -> Result<(), CloseFrame> {
        if scrubs && let Some(scrubber) = &mut self.scrubber {
            scrubber.feed(plain, &mut self.paint).map_err(|why| match why {
                Unsearchable::NotJson => CloseFrame::new(1007, "a message begins as JSON and is none"),
                Unsearchable::TooMuch => {
                    CloseFrame::new(1008, "a message holds too much white space to be read")
                }
            })?;
        }
        if ear.listens() { ear.payload(plain) } else { Ok(()) }
    }

    fn withhold(&mut self, buffer_at: usize, length: usize, frame_at: u64, mask: [u8; 4]) {
        if length == 0 {
            return;
        }
        self.spans.push(Span {
            message_at: self.message_at,
            buffer_at,
            length,
            mask,
            frame_at,
        });
    }

    /// A blank in the place of each byte, masked as the byte was.
    fn paint_over(&mut self, buffer: &mut [u8]) {
        for range in self.paint.drain(..) {
            for span in &self.spans {
                let from = range.start.max(span.message_at);
                let to = range.end.min(span.message_at + span.length as u64);
                for at in from..to {
                    let offset = at - span.message_at;
                    let key = span.mask[((span.frame_at + offset) % 4) as usize];
                    buffer[span.buffer_at + offset as usize] = b' ' ^ key;
                }
            }
        }
        // What is not withheld passes now, and is not painted over any more.
        if self
            .scrubber
            .as_ref()
            .is_none_or(|scrubber| scrubber.held().is_none())
        {
            self.spans.clear();
        }
    }

    fn end_frame(&mut self, ear: &mut impl Ear) {
        let frame = self.frame.take();
        let ends_message = frame.is_some_and(|Frame { head, content }| {
            head.last && matches!(content, Content::Text | Content::Binary)
        });
        if ends_message {
            self.message = None;
            if let Some(scrubber) = &mut self.scrubber {
                scrubber.end();
            }
            self.spans.clear();
            ear.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frames::frame;
    use super::*;

    /// Everything that was heard, a message an entry.
    #[derive(Default)]
    struct Heard {
        messages: Vec<(bool, Vec<u8>, bool)>,
        closing: Option<CloseFrame>,
        /// What is replaced in a frame that closes.
        conceals: Option<u8>,
    }

    impl Ear for Heard {
        fn listens(&self) -> bool {
            true
        }

        fn begin(&mut self, binary: bool) {
            self.messages.push((binary, Vec::new(), false));
        }

        fn payload(&mut self, bytes: &[u8]) -> Result<(), CloseFrame> {
            let message = self.messages.last_mut();
            message.into_iter().for_each(|message| message.1.extend(bytes));
            Ok(())
        }

        fn end(&mut self) {
            let message = self.messages.last_mut();
            message.into_iter().for_each(|message| message.2 = true);
        }

        fn closing(&mut self, payload: &mut [u8]) {
            self.closing = Some(CloseFrame::read(payload));
            payload
                .iter_mut()
                .filter(|byte| Some(**byte) == self.conceals)
                .for_each(|byte| *byte = b'*');
        }
    }

    const MASK: Option<[u8; 4]> = Some([0x11, 0x22, 0x33, 0x44]);

    fn fields() -> Vec<String> {
        vec!["xi-api-key".to_owned(), "authorization".to_owned()]
    }

    /// The bytes as they pass, come in pieces of this size.
    fn pass(
        passage: &mut Passage,
        bytes: &[u8],
        chunk: usize,
        heard: &mut Heard,
    ) -> Result<Vec<u8>, Violation> {
        let (mut buffer, mut passed) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(chunk) {
            buffer.extend(piece);
            let may_pass = passage.look(&mut buffer, heard)?;
            passed.extend(buffer.drain(..may_pass));
        }
        assert!(buffer.is_empty(), "something was withheld for good");
        Ok(passed)
    }

    /// One message in frames of these lengths, a ping in between each two.
    fn in_frames(text: &[u8], length: usize) -> Vec<u8> {
        let parts: Vec<_> = text.chunks(length.max(1)).collect();
        let mut bytes = Vec::new();
        for (nth, part) in parts.iter().enumerate() {
            let opcode = if nth == 0 {
                Opcode::Text
            } else {
                Opcode::Continuation
            };
            let mut one = frame(opcode, Some([nth as u8, 7, 0xff, 0x80]), part);
            if nth + 1 < parts.len() {
                one[0] &= 0x7f;
                one.extend(frame(Opcode::Ping, MASK, b"alive?"));
            }
            bytes.extend(one);
        }
        bytes
    }

    #[test]
    fn a_credential_is_painted_over_wherever_frames_and_pieces_break() {
        let text = br#"{"text":"hello","xi-api-key":"vxg_secret","authorization":"vxg_secret"}"#;
        let passes = br#"{"text":"hello"                                                       }"#;
        for length in 1..=text.len() {
            let bytes = in_frames(text, length);
            for chunk in [1, 2, 3, 5, 17, 1000] {
                let mut heard = Heard::default();
                let passed = pass(&mut Passage::new(&fields(), true), &bytes, chunk, &mut heard).unwrap();
                assert_eq!(passed.len(), bytes.len());
                let mut after = Heard::default();
                pass(&mut Passage::lenient(), &passed, 1000, &mut after).unwrap();
                let text = String::from_utf8(after.messages[0].1.clone()).unwrap();
                assert_eq!(text.as_bytes(), passes, "frames of {length}, pieces of {chunk}");
                assert_eq!(heard.messages.len(), 1);
                assert!(heard.messages[0].2);
            }
        }
    }

    #[test]
    fn a_binary_message_loses_its_credentials_too_and_passes_whatever_else_it_holds() {
        for (message, passes) in [
            (&b"{\"xi-api-key\":\"x\"}"[..], &b"{                }"[..]),
            (
                &b"{\x00\xff\"xi-api-key\":vxg_x"[..],
                &b"{\x00\xff\"xi-api-key\":vxg_x"[..],
            ),
        ] {
            let bytes = frame(Opcode::Binary, MASK, message);
            let mut heard = Heard::default();
            let passed = pass(&mut Passage::new(&fields(), true), &bytes, 4, &mut heard).unwrap();
            assert_eq!(passed, frame(Opcode::Binary, MASK, passes));
            assert_eq!(heard.messages, [(true, message.to_vec(), true)]);
        }
    }

    #[test]
    fn a_closing_is_heard_before_it_passes_and_passes_as_a_whole() {
        for (mask, chunk) in [(MASK, 1), (None, 3), (MASK, 100)] {
            let mut bytes = frame(Opcode::Pong, mask, b"!");
            bytes.extend(CloseFrame::new(4429, "too much!").frame(mask));
            let mut heard = Heard {
                conceals: Some(b'!'),
                ..Heard::default()
            };
            let passed = pass(&mut Passage::lenient(), &bytes, chunk, &mut heard).unwrap();
            assert_eq!(heard.closing, Some(CloseFrame::new(4429, "too much!")));
            let expected = [
                frame(Opcode::Pong, mask, b"!"),
                CloseFrame::new(4429, "too much*").frame(mask),
            ];
            assert_eq!(passed, expected.concat());
        }
        let mut heard = Heard::default();
        pass(
            &mut Passage::lenient(),
            &frame(Opcode::Close, MASK, b""),
            1,
            &mut heard,
        )
        .unwrap();
        assert_eq!(heard.closing, Some(CloseFrame::read(b"")));
    }

    #[test]
    fn frames_by_no_letter_pass_only_where_nothing_is_looked_for() {
        let unmasked = frame(Opcode::Text, None, b"{}");
        let mut compressed = frame(Opcode::Text, MASK, b"{}");
        compressed[0] |= 0x40;
        let mut begun = frame(Opcode::Text, MASK, b"{");
        begun[0] &= 0x7f;
        begun.extend(frame(Opcode::Text, MASK, b"{}"));
        let mut parted_ping = frame(Opcode::Ping, MASK, b"");
        parted_ping[0] &= 0x7f;
        for bytes in [
            unmasked,
            compressed,
            begun,
            parted_ping,
            frame(Opcode::Continuation, MASK, b"{}"),
            frame(Opcode::Other(3), MASK, b"{}"),
            frame(Opcode::Ping, MASK, &[0; 126]),
        ] {
            let refused = pass(
                &mut Passage::new(&fields(), true),
                &bytes,
                100,
                &mut Heard::default(),
            );
            assert_eq!(refused.unwrap_err().closing.code, Some(1002), "{bytes:?}");
            let passed = pass(&mut Passage::lenient(), &bytes, 3, &mut Heard::default());
            assert_eq!(passed.unwrap(), bytes);
        }
    }

    #[test]
    fn what_came_before_a_refused_frame_passes_to_the_end_of_its_frame() {
        let good = frame(Opcode::Text, MASK, b"{}");
        let bytes = [good.clone(), frame(Opcode::Other(4), MASK, b"{}")].concat();
        for chunk in 1..=bytes.len() {
            let (mut buffer, mut passed) = (Vec::new(), Vec::new());
            let mut passage = Passage::new(&fields(), true);
            let refusal = bytes.chunks(chunk).find_map(|piece| {
                buffer.extend(piece);
                match passage.look(&mut buffer, &mut Heard::default()) {
                    Ok(may_pass) => {
                        passed.extend(buffer.drain(..may_pass));
                        None
                    }
                    Err(refusal) => {
                        passed.extend(buffer.drain(..refusal.passing));
                        Some(refusal)
                    }
                }
            });
            assert!(refusal.unwrap().between_frames, "in pieces of {chunk}");
            assert_eq!(passed, good);
        }
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_pass_unchanged_where_nothing_is_looked_for(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            chunk in 1usize..50,
        ) {
            let mut passage = Passage::lenient();
            let (mut buffer, mut passed) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(chunk) {
                buffer.extend(piece);
                let may_pass = passage.look(&mut buffer, &mut Heard::default()).unwrap();
                passed.extend(buffer.drain(..may_pass));
            }
            // The end of it may be half a frame that closes.
            prop_assert!(buffer.len() < 125);
            passed.extend(buffer);
            prop_assert_eq!(passed, bytes);
        }

        #[test]
        fn messages_without_credentials_pass_byte_for_byte(
            texts in prop::collection::vec("[a-z{}:,\"\\[\\]0-9]{1,80}", 1..5),
            length in 1usize..30,
            chunk in 1usize..50,
        ) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| in_frames(text.as_bytes(), length)).collect();
            let mut heard = Heard::default();
            let named = |text: &String| text.contains("authorization") || text.contains("eyj");
            match pass(&mut Passage::new(&fields(), true), &bytes, chunk, &mut heard) {
                Ok(passed) if !texts.iter().any(named) => prop_assert_eq!(passed, bytes),
                Ok(_) => {}
                Err(refusal) => prop_assert_eq!(refusal.closing.code, Some(1007)),
            }
        }
    }
}
