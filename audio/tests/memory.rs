//! What an encoder holds, the memory of C libraries included, however long the sound is.

mod tools;

use audio::Encoder;
use bytes::BytesMut;
use policies::vocabulary::AudioFormat;
use tools::*;

const ENCODERS: usize = 100;
const AIM: usize = 200 * 1024;

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

// One test, for two at once would count each other's memory.
#[test]
fn an_encoder_holds_little_and_no_more_after_a_minute() {
    let mut out = BytesMut::with_capacity(1 << 20);
    // Kept to the end, or those of one format would find room in what the last one left.
    let mut kept: Vec<Encoder> = Vec::new();
    for (format, rate) in [
        (AudioFormat::Pcm, 44_100),
        (AudioFormat::Flac, 24_000),
        (AudioFormat::Opus, 44_100),
        (AudioFormat::Mp3, 24_000),
    ] {
        let second = bytes_of(&sine(rate, rate as usize));
        // What a thread keeps for all of them is there before counting.
        Encoder::new(format, rate, None)
            .unwrap()
            .push(&second, &mut out)
            .unwrap();
        let before = resident();
        let mut encoders: Vec<Encoder> = (0..ENCODERS)
            .map(|_| Encoder::new(format, rate, None).unwrap())
            .collect();
        for encoder in &mut encoders {
            out.clear();
            encoder.push(&second, &mut out).unwrap();
        }
        let each = resident().saturating_sub(before) / ENCODERS;
        println!("{format:?} from {rate} Hz: {each} bytes");
        assert!(each < AIM, "{format:?} from {rate} Hz: {each} bytes each");

        let before = resident();
        for _ in 0..60 {
            out.clear();
            encoders[0].push(&second, &mut out).unwrap();
        }
        let grown = resident().saturating_sub(before);
        assert!(
            grown < AIM,
            "{format:?} from {rate} Hz grows by {grown} bytes in a minute"
        );
        kept.extend(encoders);
    }
}
