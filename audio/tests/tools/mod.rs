//! Sounds to encode, and the real ffmpeg, ffprobe and sox to hold the results against.

#![allow(dead_code, reason = "each test file uses its part")]

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use audio::Encoder;
use bytes::BytesMut;
use policies::vocabulary::AudioFormat;

/// 440 Hz at half of full loudness.
pub fn sine(rate: u32, samples: usize) -> Vec<i16> {
    let angle = |n: usize| n as f64 / f64::from(rate) * 440.0 * TAU;
    (0..samples).map(|n| (angle(n).sin() * 16_384.0) as i16).collect()
}

pub fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

pub fn samples_of(bytes: &[u8]) -> Vec<i16> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    assert!(rest.is_empty(), "half a sample at the end");
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// Encodes in pieces of one size.
pub fn encode(
    format: AudioFormat,
    rate: u32,
    samples: &[i16],
    is_length_known: bool,
    piece: usize,
) -> Vec<u8> {
    let length = is_length_known.then_some(samples.len() as u64);
    let mut encoder = Encoder::new(format, rate, length).unwrap();
    let mut out = BytesMut::new();
    for piece in bytes_of(samples).chunks(piece) {
        encoder.push(piece, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out.to_vec()
}

/// How loud one tone is, and all of the sound, as shares of full loudness.
pub fn loudness(samples: &[i16], rate: u32, tone: f64) -> (f64, f64) {
    let count = samples.len() as f64;
    let (mut real, mut imaginary, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let sample = f64::from(*sample) / 32_768.0;
        let angle = n as f64 / f64::from(rate) * tone * TAU;
        real += sample * angle.cos();
        imaginary += sample * angle.sin();
        power += sample * sample;
    }
    (real.hypot(imaginary) * 2.0 / count, (power * 2.0 / count).sqrt())
}

/// A folder of its own for the files of a test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn keep(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Runs a program that has to succeed and to find nothing wrong with a file; gives what it printed.
pub fn run(program: &str, arguments: &[&str], input: Stdio) -> Vec<u8> {
    let done = Command::new(program).args(arguments).stdin(input).output();
    let done = done.unwrap_or_else(|error| panic!("{program}, which `make test` installs: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    // Of a WAV file that was streamed, sox says that its size is not kept.
    let is_content = said
        .lines()
        .all(|line| line.ends_with("Premature EOF on .wav input file"));
    assert!(
        done.status.success() && is_content,
        "{program} {arguments:?}: {said}"
    );
    done.stdout
}

/// The samples that ffmpeg hears in a file, at its own rate.
pub fn ffmpeg_hears(file: &Path) -> Vec<i16> {
    ffmpeg(file.to_str().unwrap(), Stdio::null())
}

/// The same, from a pipe, as a player hears a stream.
pub fn ffmpeg_hears_a_stream(file: &Path) -> Vec<i16> {
    ffmpeg("pipe:", std::fs::File::open(file).unwrap().into())
}

fn ffmpeg(source: &str, input: Stdio) -> Vec<i16> {
    let strict = "crccheck+bitstream+buffer+explode";
    let arguments = [
        "-v",
        "error",
        "-err_detect",
        strict,
        "-i",
        source,
        "-ac",
        "1",
        "-f",
        "s16le",
        "-",
    ];
    samples_of(&run("ffmpeg", &arguments, input))
}

pub fn sox_hears(file: &Path) -> Vec<i16> {
    samples_of(&run(
        "sox",
        &[file.to_str().unwrap(), "-t", "s16", "-"],
        Stdio::null(),
    ))
}

/// What ffprobe says of a file, by the name of an entry.
pub fn ffprobe_says(file: &Path, entry: &str) -> String {
    let arguments = [
        "-v",
        "error",
        "-show_entries",
        entry,
        "-of",
        "csv=p=0",
        file.to_str().unwrap(),
    ];
    String::from_utf8(run("ffprobe", &arguments, Stdio::null()))
        .unwrap()
        .trim()
        .to_owned()
}
