//! Where speech pauses in samples that are still coming, so that a phrase is listened to as soon as it has ended.

use bytes::Bytes;

use super::Link;
use crate::fakes::audio;
use crate::fakes::ear::{self, Heard};

/// Samples of less than this are silence.
const SILENCE: i32 = 300;
/// A pause of so many seconds ends a phrase.
const PAUSE: f64 = 0.5;
/// One look at the samples.
const STEP: f64 = 0.02;

/// Samples of one caller, mono with 16 bits, cut into phrases.
pub struct Listener {
    rate: u32,
    samples: Vec<u8>,
    /// Seconds that were taken away as phrases.
    taken: f64,
}

/// Something that was said, or nothing but silence.
pub struct Phrase {
    /// Seconds from the beginning of all audio.
    pub start: f64,
    pub heard: Heard,
}

impl Listener {
    pub fn at(rate: u32) -> Self {
        Self {
            rate,
            samples: Vec::new(),
            taken: 0.0,
        }
    }

    /// Takes samples in, and keeps count of them where the test finds it.
    pub fn add(&mut self, link: &Link, samples: &[u8]) {
        self.samples.extend_from_slice(samples);
        self.count(link, samples);
    }

    /// Samples that nobody listens to any more.
    pub fn count(&self, link: &Link, samples: &[u8]) {
        let seconds = samples.len() as f64 / self.bytes_per_second();
        link.note(|socket| socket.audio_seconds += seconds);
    }

    /// Seconds of audio that have come.
    pub fn seconds(&self) -> f64 {
        self.taken + self.samples.len() as f64 / self.bytes_per_second()
    }

    /// Whether somebody is speaking in what has not been taken yet.
    pub fn speaks(&self) -> bool {
        self.steps().any(loud)
    }

    /// The first phrase, once the pause after it has come.
    pub async fn phrase(&mut self) -> Result<Option<Phrase>, String> {
        let needed = (PAUSE / STEP).ceil() as usize;
        let (mut spoken, mut quiet, mut end) = (false, 0, None);
        for (number, step) in self.steps().enumerate() {
            quiet = if loud(step) { 0 } else { quiet + 1 };
            spoken |= quiet == 0;
            if spoken && quiet == needed {
                end = Some((number + 1) * self.step_bytes());
                break;
            }
        }
        match end {
            Some(end) => self.take(end).await.map(Some),
            None => Ok(None),
        }
    }

    /// All that is left.
    pub async fn rest(&mut self) -> Result<Phrase, String> {
        self.take(self.samples.len()).await
    }

    /// What has been said so far without taking it.
    pub async fn so_far(&self) -> Result<Heard, String> {
        hear(self.rate, &self.samples).await
    }

    async fn take(&mut self, end: usize) -> Result<Phrase, String> {
        let samples: Vec<u8> = self.samples.drain(..end).collect();
        let start = self.taken;
        self.taken += samples.len() as f64 / self.bytes_per_second();
        let heard = hear(self.rate, &samples).await?;
        Ok(Phrase { start, heard })
    }

    fn steps(&self) -> impl Iterator<Item = &[u8]> {
        self.samples.chunks_exact(self.step_bytes())
    }

    fn step_bytes(&self) -> usize {
        (STEP * f64::from(self.rate)) as usize * 2
    }

    fn bytes_per_second(&self) -> f64 {
        f64::from(self.rate) * 2.0
    }
}

async fn hear(rate: u32, samples: &[u8]) -> Result<Heard, String> {
    if samples.len() < 2 {
        let words = Vec::new();
        return Ok(Heard { seconds: 0.0, words });
    }
    let whole = &samples[..samples.len() - samples.len() % 2];
    let recording: Bytes = audio::wav(rate, whole);
    ear::listen(&recording).await
}

fn loud(step: &[u8]) -> bool {
    let samples = step
        .chunks_exact(2)
        .map(|sample| i32::from(i16::from_le_bytes([sample[0], sample[1]])));
    samples.map(i32::abs).max().unwrap_or(0) > SILENCE
}
