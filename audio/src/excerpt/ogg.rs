//! How long the sound in an Ogg file lasts: by the position on the last page of its stream.

const FIRST_PAGE: u8 = 2;
const NO_POSITION: u64 = u64::MAX;

/// What a page says before its packets.
struct Page<'b> {
    flags: u8,
    position: u64,
    stream: u32,
    packets: &'b [u8],
}

/// How a stream counts.
struct Clock {
    rate: u32,
    /// Samples at its start that are not played.
    lead: u64,
}

pub fn duration(beginning: &[u8], end: &[u8]) -> Option<f64> {
    let (stream, clock) = sound(beginning)?;
    let last = (0..end.len())
        .rev()
        .filter(|&at| end[at..].starts_with(b"OggS"))
        .filter_map(|at| Page::read(&end[at..]))
        .find(|page| page.stream == stream && page.position != NO_POSITION)?;
    let samples = last.position.saturating_sub(clock.lead);
    (clock.rate > 0).then(|| samples as f64 / f64::from(clock.rate))
}

/// The first stream of sound among those that begin here: a file begins with one page for each.
fn sound(mut pages: &[u8]) -> Option<(u32, Clock)> {
    loop {
        let page = Page::read(pages).filter(|page| page.flags & FIRST_PAGE != 0)?;
        if let Some(clock) = Clock::read(page.packets) {
            return Some((page.stream, clock));
        }
        let head = pages.len() - page.packets.len();
        let length: usize = pages[27..head].iter().copied().map(usize::from).sum();
        pages = page.packets.get(length..).map(|_| &pages[head + length..])?;
    }
}

impl<'b> Page<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let head = bytes.first_chunk::<27>()?;
        if !head.starts_with(b"OggS\0") {
            return None;
        }
        Some(Self {
            flags: head[5],
            position: u64::from_le_bytes(*head[6..].first_chunk()?),
            stream: u32::from_le_bytes(*head[14..].first_chunk()?),
            packets: bytes.get(27 + usize::from(head[26])..)?,
        })
    }
}

impl Clock {
    fn read(packet: &[u8]) -> Option<Self> {
        let le32 = |at: usize| Some(u32::from_le_bytes(*packet.get(at..)?.first_chunk()?));
        if packet.starts_with(b"OpusHead") {
            let lead = u16::from_le_bytes(*packet.get(10..)?.first_chunk()?);
            return Some(Self {
                rate: 48_000,
                lead: lead.into(),
            });
        }
        let rate = if packet.starts_with(b"\x01vorbis") {
            le32(12)?
        } else if packet.starts_with(b"Speex   ") {
            le32(36)?
        } else if packet.starts_with(b"\x7fFLAC") {
            super::flac::rate(
                packet
                    .get(13..)?
                    .strip_prefix(b"\0\0\0\x22")
                    .or(packet.get(17..))?,
            )?
        } else {
            return None;
        };
        Some(Self { rate, lead: 0 })
    }
}
