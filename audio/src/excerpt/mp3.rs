//! How long an MP3 lasts: by the note in its first frame (Xing, Info or VBRI), else by its bit rate.

use crate::frames::{self, Frame};

const XING_HAS_FRAMES: u32 = 1;
/// What an old tag at the end of a file takes.
const ID3_1: u64 = 128;
/// VBRI stands at one place in every frame.
const VBRI: usize = 36;

pub fn duration(beginning: &[u8], end: &[u8], length: u64) -> Option<f64> {
    let tags = tags(beginning);
    let trailer = match end.len().checked_sub(ID3_1 as usize) {
        Some(at) if end[at..].starts_with(b"TAG") => ID3_1,
        _ => 0,
    };
    // A picture in the tag may be larger than what is kept of the beginning.
    let Some(sound) = usize::try_from(tags).ok().and_then(|tags| beginning.get(tags..)) else {
        let sound = &end[frames::first(frames::mp3, end)?..];
        return frames::seconds(frames::mp3, sound, length.checked_sub(tags + trailer)?);
    };
    let junk = frames::first(frames::mp3, sound)?;
    let sound = &sound[junk..];
    let first = frames::mp3(sound)?;
    noted(&first, sound).or_else(|| {
        let length = length.checked_sub(tags + junk as u64 + trailer)?;
        frames::seconds(frames::mp3, sound, length)
    })
}

/// Bytes that ID3v2 tags take at the start.
fn tags(beginning: &[u8]) -> u64 {
    let mut at = 0;
    while let Some([b'I', b'D', b'3', _, _, flags, a, b, c, d]) =
        beginning.get(at..).and_then(|rest| rest.first_chunk::<10>())
    {
        let size = [a, b, c, d]
            .iter()
            .fold(0, |size, byte| size << 7 | usize::from(**byte & 0x7f));
        let footer = if flags & 0x10 != 0 { 10 } else { 0 };
        at += 10 + size + footer;
    }
    at as u64
}

/// What the encoder wrote down about the whole.
fn noted(first: &Frame, sound: &[u8]) -> Option<f64> {
    let samples = xing(first, sound.get(first.note..)?).or_else(|| vbri(first, sound.get(VBRI..)?))?;
    Some(samples as f64 / f64::from(first.rate))
}

fn xing(first: &Frame, note: &[u8]) -> Option<u64> {
    if !(note.starts_with(b"Xing") || note.starts_with(b"Info")) || be32(note, 4)? & XING_HAS_FRAMES == 0 {
        return None;
    }
    let samples = u64::from(be32(note, 8)?) * u64::from(first.samples);
    Some(samples.saturating_sub(silence(note).unwrap_or(0)))
}

/// What the encoder put before and after the sound: two numbers of 12 bits, where LAME or ffmpeg wrote the note with
/// all its fields.
fn silence(note: &[u8]) -> Option<u64> {
    const ALL_FIELDS: u32 = 15;
    let encoder = note.get(120..124)?;
    let is_told = be32(note, 4)? & ALL_FIELDS == ALL_FIELDS
        && [b"LAME", b"Lavf", b"Lavc"].iter().any(|name| encoder == *name);
    let both = be32(note, 140)? & 0xff_ffff;
    is_told.then_some(u64::from(both >> 12) + u64::from(both & 0xfff))
}

fn vbri(first: &Frame, note: &[u8]) -> Option<u64> {
    let is_noted = note.starts_with(b"VBRI");
    is_noted.then_some(u64::from(be32(note, 14)?) * u64::from(first.samples))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
