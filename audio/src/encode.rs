//! Samples → a container, piece by piece: signed 16-bit little-endian mono in, bytes to send out.
//!
//! What a format needs at another rate is resampled first; `encode/` has one file per container.

mod flac;
mod mp3;
mod opus;
mod raw;
mod resample;

use bytes::BytesMut;
use policies::vocabulary::AudioFormat;

use self::flac::Flac;
use self::mp3::Mp3;
use self::opus::Opus;
use self::raw::Raw;
use self::resample::{Resampler, converted_length};
use crate::AudioError;

/// Rates that a provider may send samples at.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// Samples that go through the stages at once: what is held per encoder stays this small, however much is pushed.
const BLOCK: usize = 1024;

pub struct Encoder {
    rate: u32,
    /// How many samples were announced.
    announced: Option<u64>,
    taken: u64,
    /// The first byte of a sample whose second has not come.
    half: Option<u8>,
    resampler: Option<Resampler>,
    resampled: Vec<i16>,
    container: Writer,
}

/// What writes a format, at the rate that it was made for.
enum Writer {
    Raw(Raw),
    Mp3(Mp3),
    Opus(Box<Opus>),
    Flac(Box<Flac>),
}

impl Encoder {
    /// `rate`: of the samples that will come. `samples`: how many, where that is known beforehand; only then does
    /// the container's head say a length.
    pub fn new(format: AudioFormat, rate: u32, samples: Option<u64>) -> Result<Self, AudioError> {
        if !RATES.contains(&rate) {
            return Err(AudioError::new(
                "reading samples",
                format!("{rate} Hz is no rate of speech"),
            ));
        }
        let wanted = wanted_rate(format, rate);
        let resampler = match wanted == rate {
            true => None,
            false => Some(Resampler::new(rate, wanted)?),
        };
        let length = samples.map(|samples| converted_length(samples, rate, wanted));
        Ok(Self {
            rate,
            announced: samples,
            taken: 0,
            half: None,
            resampler,
            resampled: Vec::new(),
            container: Writer::new(format, wanted, length)?,
        })
    }

    /// Takes bytes of samples, cut anywhere, also within one, and appends what is ready to `out`.
    pub fn push(&mut self, mut pcm: &[u8], out: &mut BytesMut) -> Result<(), AudioError> {
        let mut block = [0; BLOCK];
        while !pcm.is_empty() {
            let count = self.fill(&mut pcm, &mut block);
            self.taken += count as u64;
            match &mut self.resampler {
                None => self.container.push(&block[..count], out)?,
                Some(resampler) => {
                    self.resampled.clear();
                    resampler.push(&block[..count], &mut self.resampled)?;
                    self.container.push(&self.resampled, out)?;
                }
            }
        }
        Ok(())
    }

    /// Appends what is left.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<(), AudioError> {
        if let Some(resampler) = &mut self.resampler {
            self.resampled.clear();
            resampler.finish(&mut self.resampled)?;
            for block in self.resampled.chunks(BLOCK) {
                self.container.push(block, out)?;
            }
        }
        self.container.finish(out)?;
        match self.announced {
            Some(announced) if announced != self.taken => Err(AudioError::new(
                "ending a sound of known length",
                format!("{announced} samples were announced and {} came", self.taken),
            )),
            _ => Ok(()),
        }
    }

    /// Whether pushing costs little more than a copy.
    pub fn is_light(&self) -> bool {
        matches!(self.container, Writer::Raw(_)) && self.resampler.is_none()
    }

    /// Of the sound taken in so far.
    pub fn seconds(&self) -> f64 {
        self.taken as f64 / f64::from(self.rate)
    }

    /// Moves whole samples into the block; says how many.
    fn fill(&mut self, pcm: &mut &[u8], block: &mut [i16]) -> usize {
        let mut count = 0;
        if let (Some(low), Some((&high, rest))) = (self.half, pcm.split_first()) {
            block[0] = i16::from_le_bytes([low, high]);
            self.half = None;
            *pcm = rest;
            count = 1;
        }
        let (pairs, rest) = pcm.as_chunks::<2>();
        let room = pairs.len().min(block.len() - count);
        for (sample, pair) in block[count..].iter_mut().zip(pairs) {
            *sample = i16::from_le_bytes(*pair);
        }
        *pcm = &pcm[room * 2..];
        if room == pairs.len() {
            self.half = rest.first().copied();
            *pcm = &[];
        }
        count + room
    }
}

/// The rate a format is made at: the one OpenAI uses where the format names it, else the samples' own where the
/// codec has it, for resampling adds nothing.
fn wanted_rate(format: AudioFormat, rate: u32) -> u32 {
    match format {
        AudioFormat::Pcm | AudioFormat::Wav => 24_000,
        AudioFormat::Mp3 => mp3::rate_for(rate),
        AudioFormat::Opus => opus::rate_for(rate),
        AudioFormat::Flac | AudioFormat::Aac => rate,
    }
}

impl Writer {
    fn new(format: AudioFormat, rate: u32, length: Option<u64>) -> Result<Self, AudioError> {
        Ok(match format {
            AudioFormat::Pcm => Self::Raw(Raw::bare()),
            AudioFormat::Wav => Self::Raw(Raw::wav(rate, length)),
            AudioFormat::Mp3 => Self::Mp3(Mp3::new(rate)?),
            AudioFormat::Opus => Self::Opus(Box::new(Opus::new(rate)?)),
            AudioFormat::Flac => Self::Flac(Box::new(Flac::new(rate, length)?)),
            AudioFormat::Aac => {
                return Err(AudioError::new(
                    "choosing a format",
                    "aac is not made here".into(),
                ));
            }
        })
    }

    fn push(&mut self, samples: &[i16], out: &mut BytesMut) -> Result<(), AudioError> {
        match self {
            Self::Raw(raw) => raw.push(samples, out),
            Self::Mp3(mp3) => mp3.push(samples, out)?,
            Self::Opus(opus) => opus.push(samples, out)?,
            Self::Flac(flac) => flac.push(samples, out)?,
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), AudioError> {
        match self {
            Self::Raw(raw) => raw.push(&[], out),
            Self::Mp3(mp3) => mp3.finish(out)?,
            Self::Opus(opus) => opus.finish(out)?,
            Self::Flac(flac) => flac.finish(out)?,
        }
        Ok(())
    }
}
