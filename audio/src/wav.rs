//! A WAV file that arrives in pieces → its samples.

use bytes::{BufMut, Bytes, BytesMut};

use crate::AudioError;
use crate::walk::{Layout, Step, Walk};

const PCM: u16 = 1;
/// The encoding stands further behind.
const EXTENSIBLE: u16 = 0xfffe;

#[derive(Debug, Default)]
pub struct WavReader {
    walk: Walk,
    head: Head,
    /// Bytes of samples still to come; known with the rest of the head.
    left: Option<u64>,
    /// Part of a sample for both ears.
    split: Vec<u8>,
}

/// The chunks before the samples.
#[derive(Debug, Default)]
pub struct Head {
    is_open: bool,
    encoding: Option<Encoding>,
    /// RF64 says sizes beyond 32 bits in a chunk of their own.
    long_size: Option<u64>,
    /// Where the samples begin, counted from the file's start.
    offset: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    tag: u16,
    channels: u16,
    rate: u32,
    bytes_per_second: u32,
    bits: u16,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Reading,
    /// At the samples, so many bytes by what the file says; a file sent before it was complete says nothing.
    Samples(Option<u64>),
    Wrong(&'static str),
}

impl WavReader {
    /// The samples in this piece as signed 16-bit little-endian mono; empty while the head is incomplete.
    pub fn feed(&mut self, bytes: Bytes) -> Result<Bytes, AudioError> {
        let rest = self.walk.feed(&mut self.head, &bytes).len();
        let size = match self.head.state {
            State::Reading => return Ok(Bytes::new()),
            State::Wrong(reason) => return Err(wrong(reason.into())),
            State::Samples(size) => size,
        };
        let encoding = self
            .head
            .encoding
            .ok_or_else(|| wrong("samples come before their encoding".into()))?;
        if self.left.is_none() {
            encoding.check()?;
        }
        let left = self.left.get_or_insert(size.unwrap_or(u64::MAX));
        let taken = rest.min(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= taken as u64;
        let begin = bytes.len() - rest;
        let samples = bytes.slice(begin..begin + taken);
        Ok(match encoding.channels {
            1 => samples,
            _ => self.mix(&samples),
        })
    }

    /// Known once the head is complete.
    pub fn rate(&self) -> Option<u32> {
        self.left?;
        self.head.encoding.map(|encoding| encoding.rate)
    }

    /// Both ears' mean.
    fn mix(&mut self, stereo: &[u8]) -> Bytes {
        self.split.extend_from_slice(stereo);
        let (pairs, rest) = self.split.as_chunks::<4>();
        let mut mono = BytesMut::with_capacity(pairs.len() * 2);
        for [a, b, c, d] in pairs {
            let sum = i32::from(i16::from_le_bytes([*a, *b])) + i32::from(i16::from_le_bytes([*c, *d]));
            mono.put_i16_le((sum / 2) as i16);
        }
        self.split = rest.to_vec();
        mono.freeze()
    }
}

impl Layout for Head {
    const SHORTEST: usize = 8;

    fn step(&mut self, part: &[u8]) -> Step {
        if !self.is_open {
            return self.open(part);
        }
        let size = le32(part, 4);
        // Chunks begin at even places.
        let whole = 8 + u64::from(size) + u64::from(size % 2);
        let looked_at = match &part[..4] {
            b"data" => return self.reach(size),
            b"fmt " => 8 + (size as usize).clamp(16, 40),
            b"ds64" => 24,
            _ => 0,
        };
        if part.len() < looked_at {
            return Step::Look(looked_at);
        }
        match &part[..4] {
            b"fmt " => self.encoding = Some(Encoding::read(&part[8..])),
            b"ds64" => self.long_size = Some(u64::from(le32(part, 20)) << 32 | u64::from(le32(part, 16))),
            _ => {}
        }
        self.offset += whole;
        Step::Pass(whole)
    }
}

impl Head {
    fn open(&mut self, part: &[u8]) -> Step {
        if part.len() < 12 {
            return Step::Look(12);
        }
        if !(part.starts_with(b"RIFF") || part.starts_with(b"RF64")) || &part[8..12] != b"WAVE" {
            return self.fail("it does not begin as one");
        }
        self.is_open = true;
        self.offset = 12;
        Step::Pass(12)
    }

    fn reach(&mut self, size: u32) -> Step {
        if self.encoding.is_none() {
            return self.fail("samples come before their encoding");
        }
        self.offset += 8;
        self.state = State::Samples(match size {
            u32::MAX => self.long_size,
            0 => None,
            size => Some(size.into()),
        });
        Step::Stop
    }

    fn fail(&mut self, reason: &'static str) -> Step {
        self.state = State::Wrong(reason);
        Step::Stop
    }
}

impl Encoding {
    fn read(chunk: &[u8]) -> Self {
        let le16 = |at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
        let tag = match le16(0) {
            EXTENSIBLE if chunk.len() >= 26 => le16(24),
            tag => tag,
        };
        Self {
            tag,
            channels: le16(2),
            rate: le32(chunk, 4),
            bytes_per_second: le32(chunk, 8),
            bits: le16(14),
        }
    }

    fn check(self) -> Result<(), AudioError> {
        if self.tag != PCM || self.bits != 16 {
            let (bits, tag) = (self.bits, self.tag);
            return Err(wrong(format!(
                "its samples are of encoding {tag} with {bits} bits, not whole numbers of 16"
            )));
        }
        if !(1..=2).contains(&self.channels) {
            return Err(wrong(format!(
                "it has {} channels, not one or two",
                self.channels
            )));
        }
        Ok(())
    }
}

/// Seconds of a file of this length that begins so.
pub fn duration(beginning: &[u8], length: u64) -> Option<f64> {
    let mut head = Head::default();
    Walk::default().feed(&mut head, beginning);
    let State::Samples(size) = head.state else {
        return None;
    };
    let there = length.saturating_sub(head.offset);
    let bytes = size.map_or(there, |size| size.min(there));
    let bytes_per_second = head.encoding?.bytes_per_second;
    (bytes_per_second > 0).then(|| bytes as f64 / f64::from(bytes_per_second))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn wrong(reason: String) -> AudioError {
    AudioError::new("reading a WAV file", reason)
}
