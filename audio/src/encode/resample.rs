//! Samples at one rate → the same sound at another, without drift: the ratio is exact and the filter's delay is cut off.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::AudioError;

/// Samples per transform: 20 ms at 24 kHz. A longer one would delay the first sound, a shorter one would cut high tones.
const CHUNK: usize = 480;

/// Rates that share few divisors need transforms of many samples.
const LARGEST_UNIT: u32 = 2_000;

pub struct Resampler {
    fft: Fft<f32>,
    from: u32,
    to: u32,
    input: Vec<f32>,
    filled: usize,
    output: Vec<f32>,
    /// What the filter puts before the sound.
    delay: usize,
    taken: u64,
    given: u64,
}

/// How many samples come out for so many.
pub fn converted_length(samples: u64, from: u32, to: u32) -> u64 {
    let (samples, from, to) = (u128::from(samples), u128::from(from), u128::from(to));
    u64::try_from((samples * to + from / 2) / from).unwrap_or(u64::MAX)
}

impl Resampler {
    pub fn new(from: u32, to: u32) -> Result<Self, AudioError> {
        let refused = |reason: String| AudioError::new("preparing to resample", reason);
        if from / common_divisor(from, to) > LARGEST_UNIT {
            return Err(refused(format!(
                "{from} Hz and {to} Hz have too little in common"
            )));
        }
        let window = WindowFunction::BlackmanHarris2;
        let fft = Fft::new_custom(from as usize, to as usize, CHUNK, 1, 1, window, FixedSync::Both);
        let fft = fft.map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            from,
            to,
            input: vec![0.0; fft.input_frames_next()],
            filled: 0,
            output: vec![0.0; fft.output_frames_next()],
            delay: fft.output_delay(),
            taken: 0,
            given: 0,
            fft,
        })
    }

    pub fn push(&mut self, mut samples: &[i16], out: &mut Vec<i16>) -> Result<(), AudioError> {
        self.taken += samples.len() as u64;
        while !samples.is_empty() {
            let room = &mut self.input[self.filled..];
            let (now, later) = samples.split_at(samples.len().min(room.len()));
            for (place, sample) in room.iter_mut().zip(now) {
                *place = f32::from(*sample);
            }
            self.filled += now.len();
            samples = later;
            if self.filled == self.input.len() {
                self.convert(u64::MAX, out)?;
            }
        }
        Ok(())
    }

    /// Silence pushes the last of the sound out of the filter.
    pub fn finish(&mut self, out: &mut Vec<i16>) -> Result<(), AudioError> {
        let end = converted_length(self.taken, self.from, self.to);
        while self.given < end {
            self.input[self.filled..].fill(0.0);
            self.convert(end - self.given, out)?;
        }
        Ok(())
    }

    fn convert(&mut self, at_most: u64, out: &mut Vec<i16>) -> Result<(), AudioError> {
        let failed = |reason: String| AudioError::new("resampling", reason);
        let (taken, given) = (self.input.len(), self.output.len());
        let input =
            InterleavedSlice::new(&self.input[..], 1, taken).map_err(|error| failed(error.to_string()))?;
        let mut output = InterleavedSlice::new_mut(&mut self.output[..], 1, given)
            .map_err(|error| failed(error.to_string()))?;
        self.fft
            .process_into_buffer(&input, &mut output, None)
            .map_err(|error| failed(error.to_string()))?;
        self.filled = 0;

        let lead = self.delay.min(given);
        self.delay -= lead;
        let sound = &self.output[lead..];
        let kept = sound.len().min(usize::try_from(at_most).unwrap_or(usize::MAX));
        // `as` holds at the ends of the range, where a filter overshoots.
        out.extend(sound[..kept].iter().map(|sample| sample.round() as i16));
        self.given += kept as u64;
        Ok(())
    }
}

fn common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
