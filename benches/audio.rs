//! A minute of speech at 24 kHz made into each format: what converting costs.

use std::hint::black_box;
use std::time::Duration;

use audio::Encoder;
use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use policies::vocabulary::AudioFormat;

const SECONDS: usize = 60;
/// As much as comes from a socket at once.
const PIECE: usize = 4_096;

const WAYS: [(&str, AudioFormat, u32); 6] = [
    ("pcm", AudioFormat::Pcm, 24_000),
    ("pcm from 44100 Hz", AudioFormat::Pcm, 44_100),
    ("wav", AudioFormat::Wav, 24_000),
    ("mp3", AudioFormat::Mp3, 24_000),
    ("opus", AudioFormat::Opus, 24_000),
    ("flac", AudioFormat::Flac, 24_000),
];

/// Tones that swell and fade, and some noise: not speech, but as much work.
fn sound(rate: u32) -> Vec<u8> {
    let mut chance = 1_u32;
    let sample = |n: usize| {
        let time = n as f64 / f64::from(rate);
        let tones = (time * 880.0).sin() + (time * 2_890.0).sin() / 2.0 + (time * 9_230.0).sin() / 8.0;
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(chance >> 16) / 65_536.0 - 0.5;
        ((tones * (time * 9.0).sin().abs() + noise / 10.0) * 9_000.0) as i16
    };
    (0..SECONDS * rate as usize)
        .map(sample)
        .flat_map(i16::to_le_bytes)
        .collect()
}

fn encode(format: AudioFormat, rate: u32, sound: &[u8]) -> usize {
    let mut encoder = Encoder::new(format, rate, None).expect("a format that is made here");
    let mut out = BytesMut::new();
    let mut length = 0;
    for piece in sound.chunks(PIECE) {
        encoder.push(piece, &mut out).expect("samples");
        length += out.len();
        out.clear();
    }
    encoder.finish(&mut out).expect("an end");
    length + out.len()
}

fn formats(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("60 s of speech");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, format, rate) in WAYS {
        let sound = sound(rate);
        group.bench_function(name, |bencher| {
            bencher.iter(|| encode(format, rate, black_box(&sound)))
        });
    }
    group.finish();
}

criterion_group!(benches, formats);
criterion_main!(benches);
