//! Samples as they are, behind the head of a WAV file where one is wanted.

use bytes::{BufMut, BytesMut};

const HEAD_LENGTH: u32 = 44;

/// What a size says in a file that is sent before it is complete. ffmpeg, sox and browsers read on to the end.
const UNKNOWN: u32 = u32::MAX;

pub struct Raw {
    /// Goes out before the first sample.
    head: Option<[u8; HEAD_LENGTH as usize]>,
}

impl Raw {
    pub fn bare() -> Self {
        Self { head: None }
    }

    pub fn wav(rate: u32, length: Option<u64>) -> Self {
        // A sound too long for the format's 32 bits is one of unknown length to whoever reads it.
        let size = length
            .and_then(|samples| u32::try_from(samples.checked_mul(2)?).ok())
            .filter(|size| *size <= UNKNOWN - HEAD_LENGTH);
        Self {
            head: Some(wav_head(rate, size)),
        }
    }

    pub fn push(&mut self, samples: &[i16], out: &mut BytesMut) {
        if let Some(head) = self.head.take() {
            out.put_slice(&head);
        }
        // A block at once: one write per sample would check for room as often.
        let at = out.len();
        out.resize(at + samples.len() * 2, 0);
        for (bytes, sample) in out[at..].chunks_exact_mut(2).zip(samples) {
            bytes.copy_from_slice(&sample.to_le_bytes());
        }
    }
}

fn wav_head(rate: u32, size: Option<u32>) -> [u8; HEAD_LENGTH as usize] {
    let mut head = [0; HEAD_LENGTH as usize];
    let mut rest = &mut head[..];
    rest.put_slice(b"RIFF");
    rest.put_u32_le(size.map_or(UNKNOWN, |size| size + HEAD_LENGTH - 8));
    rest.put_slice(b"WAVEfmt ");
    rest.put_u32_le(16);
    rest.put_u16_le(1);
    rest.put_u16_le(1);
    rest.put_u32_le(rate);
    rest.put_u32_le(rate * 2);
    rest.put_u16_le(2);
    rest.put_u16_le(16);
    rest.put_slice(b"data");
    rest.put_u32_le(size.unwrap_or(UNKNOWN));
    head
}
