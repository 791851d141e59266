//! How long a WebM or Matroska file lasts: by its `Duration`, which what a browser records lacks, else by its last block.

use crate::walk::{Layout, Step};

/// A block's stream, its time within the cluster, its flags.
const BLOCK_HEAD: u64 = 11;

const SEGMENT: u32 = 0x1853_8067;
const SEGMENT_INFO: u32 = 0x1549_a966;
const TICK: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
const CLUSTER: u32 = 0x1f43_b675;
const CLUSTER_TIME: u32 = 0xe7;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const BLOCK_DURATION: u32 = 0x9b;
const SIMPLE_BLOCK: u32 = 0xa3;

#[derive(Debug)]
pub struct WebM {
    /// In nanoseconds.
    tick: u64,
    duration: Option<f64>,
    cluster: u64,
    /// When the last block begins, and how long after the one before.
    last: u64,
    apart: u64,
    /// When a block ends that says so itself.
    end: u64,
}

impl Default for WebM {
    fn default() -> Self {
        Self {
            tick: 1_000_000,
            duration: None,
            cluster: 0,
            last: 0,
            apart: 0,
            end: 0,
        }
    }
}

impl Layout for WebM {
    const SHORTEST: usize = 2;

    fn step(&mut self, part: &[u8]) -> Step {
        let Some((id, id_length)) = part.first().and_then(|first| number(part, first.leading_zeros())) else {
            return Step::Look(part.len() + 1);
        };
        let Ok(id) = u32::try_from(id) else {
            return Step::Stop;
        };
        let Some((size, size_length)) = part
            .get(id_length..)
            .and_then(|rest| number(rest, rest.first()?.leading_zeros()))
        else {
            return Step::Look(part.len() + 1);
        };
        let bits = 7 * size_length as u32;
        let size = size & ((1 << bits) - 1);
        let is_endless = size == (1 << bits) - 1;
        let head = (id_length + size_length) as u64;

        let looked_at = match id {
            SEGMENT | SEGMENT_INFO | CLUSTER | BLOCK_GROUP => return Step::Pass(head),
            _ if is_endless => return Step::Stop,
            TICK | DURATION | CLUSTER_TIME | BLOCK_DURATION if size <= 8 => head + size,
            BLOCK | SIMPLE_BLOCK => head + size.min(BLOCK_HEAD),
            _ => return Step::Pass(head + size),
        };
        if (part.len() as u64) < looked_at {
            return Step::Look(looked_at as usize);
        }
        self.read(id, &part[head as usize..looked_at as usize]);
        Step::Pass(head + size)
    }
}

impl WebM {
    pub fn duration(&self) -> Option<f64> {
        let ticks = match self.duration {
            Some(ticks) if ticks > 0.0 => ticks,
            _ => self.last.saturating_add(self.apart).max(self.end) as f64,
        };
        (ticks > 0.0).then(|| ticks * self.tick as f64 / 1e9)
    }

    fn read(&mut self, id: u32, content: &[u8]) {
        let whole = content
            .iter()
            .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        match (id, content.len()) {
            (TICK, _) => self.tick = whole,
            (DURATION, 4) => self.duration = Some(f64::from(f32::from_bits(whole as u32))),
            (DURATION, 8) => self.duration = Some(f64::from_bits(whole)),
            (CLUSTER_TIME, _) => self.cluster = whole,
            (BLOCK_DURATION, _) => self.end = self.end.max(self.last.saturating_add(whole)),
            (BLOCK | SIMPLE_BLOCK, _) => self.meet(content),
            _ => {}
        }
    }

    fn meet(&mut self, block: &[u8]) {
        let stream = block
            .first()
            .map_or(0, |first| first.leading_zeros() as usize + 1);
        let Some(time) = block.get(stream..).and_then(|rest| rest.first_chunk()) else {
            return;
        };
        let time = self
            .cluster
            .saturating_add_signed(i16::from_be_bytes(*time).into());
        if time > self.last {
            self.apart = time - self.last;
            self.last = time;
        }
    }
}

/// A number that says its length by the zeros it begins with, with the bit that ends them; `None` while it is incomplete.
fn number(bytes: &[u8], zeros: u32) -> Option<(u64, usize)> {
    let length = zeros as usize + 1;
    let number = bytes.get(..length)?;
    Some((
        number
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        length,
    ))
}
