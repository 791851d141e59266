//! Where the frames of a WebSocket begin and end (RFC 6455), in bytes that come in pieces of any size.
//!
//! The reader judges nothing: what makes no sense is told as it stands, and whoever asks decides. It holds the
//! fourteen bytes of a frame's head and no payload.

/// The longest head: two bytes, eight of length, four of mask.
const LONGEST_HEAD: usize = 14;
/// The longest payload of a frame that controls: a code and a reason, or a ping's echo.
pub const LONGEST_CONTROL: usize = 125;
/// The longest reason beside a closing code.
const LONGEST_REASON: usize = LONGEST_CONTROL - 2;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
    /// One that no standard knows.
    Other(u8),
}

/// The head of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub opcode: Opcode,
    /// The last frame of its message.
    pub last: bool,
    /// A bit is set that only an extension gives a meaning.
    pub reserved: bool,
    pub mask: Option<[u8; 4]>,
    pub length: u64,
}

/// What comes next in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A frame's head has been read to its end.
    Head(Head),
    /// This much is payload of the frame; it may be nothing where the frame is empty.
    Payload {
        length: usize,
        /// How much of the frame's payload came before.
        at: u64,
        /// The frame ends with it.
        ends: bool,
    },
    /// All bytes have been read, in mid-frame or between two.
    More,
}

#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    bytes: [u8; LONGEST_HEAD],
    /// How much of a head is there.
    have: usize,
    /// Of the frame whose head was read: its payload, and how much of it has been read.
    inside: Option<(u64, u64)>,
}

impl Opcode {
    fn of(bits: u8) -> Self {
        match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            other => Opcode::Other(other),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
            Opcode::Other(bits) => bits,
        }
    }

    /// Frames that may stand between those of a message.
    pub fn controls(self) -> bool {
        self.bits() & 8 != 0
    }
}

impl FrameReader {
    /// Whether the bytes so far end where a frame does.
    pub fn is_between_frames(&self) -> bool {
        self.inside.is_none() && self.have == 0
    }

    /// Whether they end inside a frame's payload, and else how much there is of the next one's head.
    pub fn head_so_far(&self) -> Option<usize> {
        self.inside.is_none().then_some(self.have)
    }

    /// Reads on, and returns how many bytes that took.
    pub fn next(&mut self, bytes: &[u8]) -> (usize, Next) {
        match self.inside {
            Some((length, at)) => self.payload(bytes, length, at),
            None => self.head(bytes),
        }
    }

    fn payload(&mut self, bytes: &[u8], length: u64, at: u64) -> (usize, Next) {
        let left = length - at;
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        if taken == 0 && left > 0 {
            return (0, Next::More);
        }
        let ends = taken as u64 == left;
        self.inside = (!ends).then_some((length, at + taken as u64));
        (
            taken,
            Next::Payload {
                length: taken,
                at,
                ends,
            },
        )
    }

    fn head(&mut self, bytes: &[u8]) -> (usize, Next) {
        let mut taken = 0;
        loop {
            let wanted = self.head_length();
            if self.have == wanted {
                let head = self.parsed(wanted);
                (self.have, self.inside) = (0, Some((head.length, 0)));
                return (taken, Next::Head(head));
            }
            let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) else {
                return (taken, Next::More);
            };
            let some = rest.len().min(wanted - self.have);
            self.bytes[self.have..self.have + some].copy_from_slice(&rest[..some]);
            self.have += some;
            taken += some;
        }
    }

    /// As far as its first two bytes, once they are there, tell.
    fn head_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let mask = if self.bytes[1] & MASKED != 0 { 4 } else { 0 };
        2 + self.length_bytes() + mask
    }

    fn length_bytes(&self) -> usize {
        match self.bytes[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn parsed(&self, wanted: usize) -> Head {
        let extended = &self.bytes[2..2 + self.length_bytes()];
        let length = match extended.is_empty() {
            true => u64::from(self.bytes[1] & !MASKED),
            false => extended.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let mask = (self.bytes[1] & MASKED != 0).then(|| {
            let mut mask = [0; 4];
            mask.copy_from_slice(&self.bytes[wanted - 4..wanted]);
            mask
        });
        Head {
            opcode: Opcode::of(self.bytes[0] & 0x0F),
            last: self.bytes[0] & FIN != 0,
            reserved: self.bytes[0] & RESERVED != 0,
            mask,
            length,
        }
    }
}

/// Takes the mask off a piece of payload that begins `at` bytes into its frame, or puts it on.
pub fn unmask(mask: [u8; 4], at: u64, payload: &mut [u8]) {
    let mut turned = mask;
    turned.rotate_left((at % 4) as usize);
    let word = u32::from_ne_bytes(turned);
    let mut words = payload.chunks_exact_mut(4);
    for four in &mut words {
        let bytes = u32::from_ne_bytes([four[0], four[1], four[2], four[3]]) ^ word;
        four.copy_from_slice(&bytes.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(turned) {
        *byte ^= key;
    }
}

/// A whole frame, the last of its message.
pub fn frame(opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LONGEST_HEAD + payload.len());
    bytes.push(FIN | opcode.bits());
    let masked = if mask.is_some() { MASKED } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if usize::from(short) <= LONGEST_CONTROL => bytes.push(masked | short),
        (_, Ok(middle)) => {
            bytes.push(masked | 126);
            bytes.extend(middle.to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    let begins = bytes.len();
    bytes.extend(payload);
    if let Some(mask) = mask {
        unmask(mask, 0, &mut bytes[begins..]);
    }
    bytes
}

/// What a closing frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// `None`: the frame is empty.
    pub code: Option<u16>,
    pub reason: String,
}

impl CloseFrame {
    pub fn new(code: u16, reason: &str) -> Self {
        Self {
            code: Some(code),
            reason: reason[..reason.floor_char_boundary(LONGEST_REASON)].to_owned(),
        }
    }

    /// From the frame's payload.
    pub fn read(payload: &[u8]) -> Self {
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        let reason = payload.get(2..).unwrap_or_default();
        Self {
            code,
            reason: String::from_utf8_lossy(reason).into_owned(),
        }
    }

    pub fn frame(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut payload = Vec::with_capacity(LONGEST_CONTROL);
        if let Some(code) = self.code {
            payload.extend(code.to_be_bytes());
            payload.extend(self.reason.as_bytes());
        }
        frame(Opcode::Close, mask, &payload)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every head with the payload of its frame, unmasked, and whether the bytes ended between frames.
    fn read(bytes: &[u8], chunk: usize) -> (Vec<(Head, Vec<u8>)>, bool) {
        let mut reader = FrameReader::default();
        let mut frames: Vec<(Head, Vec<u8>)> = Vec::new();
        for mut piece in bytes.chunks(chunk.max(1)) {
            loop {
                let (taken, next) = reader.next(piece);
                match next {
                    Next::Head(head) => frames.push((head, Vec::new())),
                    Next::Payload { length, at, .. } => {
                        let (head, payload) = frames.last_mut().unwrap();
                        let mut part = piece[..length].to_vec();
                        unmask(head.mask.unwrap_or_default(), at, &mut part);
                        payload.extend(part);
                    }
                    Next::More => break,
                }
                piece = &piece[taken..];
            }
        }
        (frames, reader.is_between_frames())
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let hello = b"Hello".to_vec();
        for (bytes, masked) in [
            (vec![0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], false),
            (
                vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58],
                true,
            ),
        ] {
            let (frames, between) = read(&bytes, 1);
            assert!(between);
            assert_eq!(frames[0].1, hello);
            let head = frames[0].0;
            assert_eq!((head.opcode, head.last, head.length), (Opcode::Text, true, 5));
            assert_eq!(head.mask.is_some(), masked);
        }
    }

    #[test]
    fn an_empty_frame_ends_at_once_and_half_a_head_is_inside_a_frame() {
        let mut reader = FrameReader::default();
        assert!(matches!(reader.next(&[0x89, 0x00]), (2, Next::Head(_))));
        assert!(!reader.is_between_frames());
        let nothing = Next::Payload {
            length: 0,
            at: 0,
            ends: true,
        };
        assert_eq!(reader.next(&[]), (0, nothing));
        assert!(reader.is_between_frames());
        assert_eq!(reader.next(&[0x82]), (1, Next::More));
        assert!(!reader.is_between_frames());
    }

    #[test]
    fn a_frame_may_claim_any_length_and_costs_nothing_before_it_comes() {
        let mut reader = FrameReader::default();
        let head = [0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(reader.next(&head), (10, Next::Head(head)) if head.length == u64::MAX));
        assert!(matches!(
            reader.next(&[0; 100]),
            (100, Next::Payload { ends: false, .. })
        ));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let closing = CloseFrame::new(1008, &"é".repeat(100));
        let (frames, _) = read(&closing.frame(Some([1, 2, 3, 4])), 7);
        assert_eq!(frames[0].1.len(), 2 + 122);
        assert_eq!(CloseFrame::read(&frames[0].1), closing);
        assert_eq!(CloseFrame::read(&[]).code, None);
        assert_eq!(CloseFrame::read(&[3]).code, None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_wherever_pieces_break(
            payloads in prop::collection::vec((0..70_000usize, any::<Option<[u8; 4]>>()), 1..4),
            chunk in 1usize..5_000,
        ) {
            let content = |length: usize| (0..length).map(|nth| nth as u8).collect::<Vec<_>>();
            let bytes: Vec<u8> = payloads
                .iter()
                .flat_map(|(length, mask)| frame(Opcode::Binary, *mask, &content(*length)))
                .collect();
            let (frames, between) = read(&bytes, chunk);
            prop_assert!(between);
            prop_assert_eq!(frames.len(), payloads.len());
            for ((head, payload), (length, mask)) in frames.iter().zip(&payloads) {
                prop_assert_eq!(head.mask, *mask);
                prop_assert_eq!(payload, &content(*length));
            }
        }
    }
}
