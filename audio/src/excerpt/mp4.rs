//! How long an M4A or MP4 file lasts: by its `mvhd` box, wherever that is, or by its fragments, which are all there is in
//! what a browser records.

use crate::walk::{Layout, Step};

/// Boxes of fixed fields are looked at so far.
const FIELDS: u64 = 48;
/// Files of sound have one or two.
const MOST_TRACKS: usize = 16;

#[derive(Debug, Default)]
pub struct Mp4 {
    clock: u32,
    /// In the clock's ticks.
    length: u64,
    tracks: Vec<Track>,
    /// Which of them the fragment belongs to.
    current: usize,
    sample: u32,
}

#[derive(Debug, Default)]
struct Track {
    id: u32,
    clock: u32,
    /// How long a sample lasts that does not say so itself.
    sample: u32,
    end: u64,
}

impl Layout for Mp4 {
    const SHORTEST: usize = 8;

    fn step(&mut self, part: &[u8]) -> Step {
        let (Some(short), Some(kind)) = (be32(part, 0), part.get(4..8)) else {
            return Step::Stop;
        };
        let (head, size) = match (short, be64(part, 8)) {
            // To the end of the file.
            (0, _) => return Step::Stop,
            (1, None) => return Step::Look(16),
            (1, Some(size)) => (16, size),
            (size, _) => (8, u64::from(size)),
        };
        if size < head {
            return Step::Stop;
        }
        let looked_at = match kind {
            b"moov" | b"trak" | b"mdia" | b"mvex" | b"moof" | b"traf" => return Step::Pass(head),
            b"mvhd" | b"tkhd" | b"mdhd" | b"trex" | b"tfhd" | b"tfdt" => size.min(head + FIELDS),
            b"trun" => size,
            _ => return Step::Pass(size),
        };
        let looked_at = usize::try_from(looked_at).unwrap_or(usize::MAX);
        if part.len() < looked_at {
            return Step::Look(looked_at);
        }
        self.read(kind, &part[head as usize..looked_at]);
        Step::Pass(size)
    }
}

impl Mp4 {
    pub fn duration(&self) -> Option<f64> {
        let seconds = |ticks: u64, clock: u32| match (ticks, clock) {
            (0 | u64::MAX, _) | (_, 0) => None,
            _ => Some(ticks as f64 / f64::from(clock)),
        };
        let fragments = self
            .tracks
            .iter()
            .filter_map(|track| seconds(track.end, track.clock));
        fragments.chain(seconds(self.length, self.clock)).reduce(f64::max)
    }

    /// A box too short for its fields says nothing.
    fn read(&mut self, kind: &[u8], fields: &[u8]) -> Option<()> {
        let is_long = *fields.first()? == 1;
        let flags = be32(fields, 0)? & 0xff_ffff;
        match kind {
            b"mvhd" => (self.clock, self.length) = clock_and_length(fields, is_long)?,
            b"tkhd" if self.tracks.len() < MOST_TRACKS => self.tracks.push(Track {
                id: be32(fields, if is_long { 20 } else { 12 })?,
                ..Track::default()
            }),
            b"mdhd" => self.tracks.last_mut()?.clock = clock_and_length(fields, is_long)?.0,
            b"trex" => {
                let (id, sample) = (be32(fields, 4)?, be32(fields, 12)?);
                self.tracks.iter_mut().find(|track| track.id == id)?.sample = sample;
            }
            b"tfhd" => self.begin_fragment(fields, flags)?,
            b"tfdt" => {
                let begin = if is_long {
                    be64(fields, 4)?
                } else {
                    be32(fields, 4)?.into()
                };
                self.tracks.get_mut(self.current)?.end = begin;
            }
            b"trun" => {
                let ticks = run(fields, flags, self.sample)?;
                let track = self.tracks.get_mut(self.current)?;
                track.end = track.end.saturating_add(ticks);
            }
            _ => {}
        }
        Some(())
    }

    fn begin_fragment(&mut self, fields: &[u8], flags: u32) -> Option<()> {
        let id = be32(fields, 4)?;
        self.current = self.tracks.iter().position(|track| track.id == id)?;
        let before = [(0x1, 8), (0x2, 4)]
            .iter()
            .filter(|(flag, _)| flags & flag != 0)
            .map(|(_, size)| size);
        let at = 8 + before.sum::<usize>();
        self.sample = match flags & 0x8 {
            0 => self.tracks[self.current].sample,
            _ => be32(fields, at)?,
        };
        Some(())
    }
}

/// What `mvhd` and `mdhd` have in common.
fn clock_and_length(fields: &[u8], is_long: bool) -> Option<(u32, u64)> {
    if is_long {
        return Some((be32(fields, 20)?, be64(fields, 24)?));
    }
    let length = be32(fields, 16)?;
    Some((
        be32(fields, 12)?,
        if length == u32::MAX {
            u64::MAX
        } else {
            length.into()
        },
    ))
}

/// How long the samples of a `trun` box last together.
fn run(fields: &[u8], flags: u32, each: u32) -> Option<u64> {
    const DURATION: u32 = 0x100;
    let count = be32(fields, 4)?;
    if flags & DURATION == 0 {
        return Some(u64::from(count) * u64::from(each));
    }
    let before = (flags & 0x1).count_ones() + (flags & 0x4).count_ones();
    let entry = 4 * (flags & 0xf00).count_ones() as usize;
    let entries = fields.get(8 + 4 * before as usize..)?.chunks_exact(entry);
    Some(
        entries
            .take(count as usize)
            .filter_map(|entry| be32(entry, 0))
            .map(u64::from)
            .sum(),
    )
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
