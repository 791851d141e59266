//! MP3 by LAME: mono at a constant bit rate, without a first frame that says a length, since none is known while
//! it streams.

use bytes::BytesMut;
use mp3lame_encoder::{Bitrate, Builder, Encoder, FlushGap, Mode, MonoPcm, Quality};

use crate::AudioError;

/// What LAME may write at once beyond what it was given, by its own documentation.
const SLACK: usize = 7_200;

pub struct Mp3 {
    lame: Encoder,
    frames: Vec<u8>,
}

/// Rates the codec has stay; others become that of OpenAI's voices.
pub fn rate_for(rate: u32) -> u32 {
    match rate {
        16_000 | 22_050 | 24_000 | 32_000 | 44_100 | 48_000 => rate,
        rate if rate > 48_000 => 48_000,
        _ => 24_000,
    }
}

impl Mp3 {
    pub fn new(rate: u32) -> Result<Self, AudioError> {
        let bitrate = if rate <= 24_000 {
            Bitrate::Kbps96
        } else {
            Bitrate::Kbps128
        };
        let lame = build(rate, bitrate).map_err(|reason| AudioError::new("preparing an MP3", reason))?;
        Ok(Self {
            lame,
            frames: Vec::new(),
        })
    }

    pub fn push(&mut self, samples: &[i16], out: &mut BytesMut) -> Result<(), AudioError> {
        // LAME takes no samples at all for a mistake.
        if samples.is_empty() {
            return Ok(());
        }
        self.frames.reserve(samples.len() * 5 / 4 + SLACK);
        let done = self.lame.encode_to_vec(MonoPcm(samples), &mut self.frames);
        self.hand_over(done.map_err(|error| error.to_string()), out)
    }

    pub fn finish(&mut self, out: &mut BytesMut) -> Result<(), AudioError> {
        self.frames.reserve(SLACK);
        let done = self.lame.flush_to_vec::<FlushGap>(&mut self.frames);
        self.hand_over(done.map_err(|error| error.to_string()), out)
    }

    fn hand_over(&mut self, done: Result<usize, String>, out: &mut BytesMut) -> Result<(), AudioError> {
        done.map_err(|reason| AudioError::new("making an MP3", reason))?;
        out.extend_from_slice(&self.frames);
        self.frames.clear();
        Ok(())
    }
}

fn build(rate: u32, bitrate: Bitrate) -> Result<Encoder, String> {
    let builder = Builder::new().ok_or("no memory for LAME")?;
    let configured = || {
        builder
            .with_num_channels(1)?
            .with_mode(Mode::Mono)?
            .with_sample_rate(rate)?
            .with_brate(bitrate)?
            .with_quality(Quality::Good)?
            .with_to_write_vbr_tag(false)?
            .build()
    };
    configured().map_err(|error| error.to_string())
}
