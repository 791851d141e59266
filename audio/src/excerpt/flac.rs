//! How long a FLAC file lasts: by its head, and where that does not say, as in one that was streamed, by its last frame.

/// The largest head of a frame.
const FRAME_HEAD: usize = 16;

pub fn duration(beginning: &[u8], end: &[u8]) -> Option<f64> {
    let stream = beginning.strip_prefix(b"fLaC")?.get(4..)?;
    let rate = rate(stream)?;
    let long = u64::from_be_bytes(*stream.get(10..)?.first_chunk()?);
    let samples = match long & 0xf_ffff_ffff {
        0 => last_sample(stream, end)?,
        samples => samples,
    };
    (rate > 0).then(|| samples as f64 / f64::from(rate))
}

/// By the block that describes the stream.
pub fn rate(stream: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*stream.get(10..)?.first_chunk()?) >> 12)
}

fn last_sample(stream: &[u8], end: &[u8]) -> Option<u64> {
    let block = u64::from(u16::from_be_bytes(*stream.get(2..)?.first_chunk()?));
    (0..end.len()).rev().find_map(|at| frame_end(&end[at..], block))
}

/// The number of the sample after the frame that begins here, if one does: its head has a checksum.
fn frame_end(bytes: &[u8], block: u64) -> Option<u64> {
    let head = bytes.first_chunk::<4>()?;
    if head[0] != 0xff || head[1] & 0xfe != 0xf8 || head[3] & 1 != 0 {
        return None;
    }
    let (number, mut at) = coded_number(bytes.get(4..)?)?;
    at += 4;
    let byte = |at: usize| bytes.get(at).copied().map(u64::from);
    let length = match head[2] >> 4 {
        0 => return None,
        1 => 192,
        code @ 2..=5 => 576 << (code - 2),
        6 => {
            at += 1;
            byte(at - 1)? + 1
        }
        7 => {
            at += 2;
            (byte(at - 2)? << 8 | byte(at - 1)?) + 1
        }
        code => 256 << (code - 8),
    };
    at += match head[2] & 15 {
        12 => 1,
        13 | 14 => 2,
        15 => return None,
        _ => 0,
    };
    let is_sound = at < FRAME_HEAD && byte(at)? == u64::from(checksum(bytes.get(..at)?));
    let is_numbered_by_sample = head[1] & 1 != 0;
    let begin = if is_numbered_by_sample {
        number
    } else {
        number.checked_mul(block)?
    };
    is_sound.then(|| begin.checked_add(length)).flatten()
}

/// A number written as UTF-8 writes one, up to 36 bits, and the bytes it takes.
fn coded_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = match first.leading_ones() {
        0 => return Some((first.into(), 1)),
        ones @ 2..=7 => ones as usize,
        _ => return None,
    };
    let begin = u64::from(first) & (0x7f >> length);
    let rest = bytes.get(1..length)?;
    let is_continued = rest.iter().all(|byte| byte & 0xc0 == 0x80);
    let number = rest
        .iter()
        .fold(begin, |number, byte| number << 6 | u64::from(byte & 0x3f));
    is_continued.then_some((number, length))
}

/// CRC-8 with the polynomial 0x07.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum: u8, _| {
            if sum & 0x80 != 0 {
                sum << 1 ^ 0x07
            } else {
                sum << 1
            }
        })
    })
}
