//! FLAC that streams: the samples' own rate, blocks of one size but for the last, no checksum of the whole.

use bytes::{BufMut, BytesMut};
use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, StreamInfo};
use flacenc::config;
use flacenc::encode_fixed_size_frame;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Fill, FrameBuf};

use crate::AudioError;

/// 85 ms at 24 kHz: small enough that sound leaves soon, large enough to be worth a frame's head.
const BLOCK: u16 = 2_048;
const HEAD_LENGTH: usize = 42;

pub struct Flac {
    config: Verified<config::Encoder>,
    stream: StreamInfo,
    /// Goes out before the first frame.
    head: Option<[u8; HEAD_LENGTH]>,
    block: Vec<i32>,
    buffer: FrameBuf,
    frames: usize,
}

impl Flac {
    pub fn new(rate: u32, length: Option<u64>) -> Result<Self, AudioError> {
        let config = config::Encoder::default().into_verified();
        let config = config.map_err(|(_, error)| trouble(error))?;
        Ok(Self {
            config,
            stream: StreamInfo::new(rate as usize, 1, 16).map_err(trouble)?,
            head: Some(head(rate, length)),
            block: Vec::with_capacity(BLOCK.into()),
            buffer: FrameBuf::with_size(1, BLOCK.into()).map_err(trouble)?,
            frames: 0,
        })
    }

    pub fn push(&mut self, mut samples: &[i16], out: &mut BytesMut) -> Result<(), AudioError> {
        self.begin(out);
        while !samples.is_empty() {
            let room = usize::from(BLOCK) - self.block.len();
            let (now, later) = samples.split_at(samples.len().min(room));
            self.block.extend(now.iter().copied().map(i32::from));
            samples = later;
            if self.block.len() == usize::from(BLOCK) {
                self.encode(out)?;
            }
        }
        Ok(())
    }

    pub fn finish(&mut self, out: &mut BytesMut) -> Result<(), AudioError> {
        self.begin(out);
        if self.block.is_empty() {
            return Ok(());
        }
        self.encode(out)
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if let Some(head) = self.head.take() {
            out.put_slice(&head);
        }
    }

    fn encode(&mut self, out: &mut BytesMut) -> Result<(), AudioError> {
        self.buffer.fill_interleaved(&self.block).map_err(trouble)?;
        self.block.clear();
        let frame = encode_fixed_size_frame(&self.config, &self.buffer, self.frames, &self.stream);
        self.frames += 1;
        let mut bits = ByteSink::new();
        frame.map_err(trouble)?.write(&mut bits).map_err(trouble)?;
        out.put_slice(bits.as_slice());
        Ok(())
    }
}

/// The file's mark and its one metadata block. Zeroes say that sizes, length or checksum are not known.
fn head(rate: u32, length: Option<u64>) -> [u8; HEAD_LENGTH] {
    const LONGEST: u64 = (1 << 36) - 1;
    let (channels, bits) = (1, 16);
    let length = length.filter(|length| *length <= LONGEST).unwrap_or(0);
    let sound = u64::from(rate) << 44 | (channels - 1) << 41 | (bits - 1) << 36 | length;

    let mut head = [0; HEAD_LENGTH];
    let mut rest = &mut head[..];
    rest.put_slice(b"fLaC\x80\0\0\x22");
    rest.put_u16(BLOCK);
    rest.put_u16(BLOCK);
    rest.put_bytes(0, 6);
    rest.put_u64(sound);
    head
}

fn trouble(error: impl std::fmt::Display) -> AudioError {
    AudioError::new("making FLAC", error.to_string())
}
