//! What is encoded here is what ffmpeg and sox hear.

mod tools;

use audio::{Container, Encoder, recognise};
use bytes::BytesMut;
use policies::vocabulary::AudioFormat;
use proptest::prelude::ProptestConfig;
use tools::*;

const RATES: [u32; 5] = [16_000, 22_050, 24_000, 44_100, 48_000];
const FILES: [AudioFormat; 4] = [
    AudioFormat::Mp3,
    AudioFormat::Opus,
    AudioFormat::Flac,
    AudioFormat::Wav,
];
const ALL: [AudioFormat; 5] = [
    AudioFormat::Mp3,
    AudioFormat::Opus,
    AudioFormat::Flac,
    AudioFormat::Wav,
    AudioFormat::Pcm,
];

/// How many samples a decoder may give beyond the sound. LAME puts 1105 before it, and fills up to two frames of at
/// most 1152 after it; a stream of MP3 has no place to say so.
fn surplus(format: AudioFormat, rate: u32) -> usize {
    match format {
        AudioFormat::Mp3 if rate <= 24_000 => 1_105 + 2 * 576,
        AudioFormat::Mp3 => 1_105 + 2 * 1_152,
        _ => 0,
    }
}

/// The rate that a decoder gives for samples that came at another.
fn rate_of(format: AudioFormat, rate: u32) -> u32 {
    match format {
        AudioFormat::Opus => 48_000,
        AudioFormat::Wav | AudioFormat::Pcm => 24_000,
        _ => rate,
    }
}

#[test]
fn files_say_the_rate_they_are_at() {
    let folder = Folder::new();
    for format in FILES {
        for rate in RATES {
            let path = folder.keep(
                format.as_str(),
                &encode(format, rate, &sine(rate, 9_000), false, 4_096),
            );
            let told = ffprobe_says(&path, "stream=sample_rate");
            assert_eq!(
                told,
                rate_of(format, rate).to_string(),
                "{format:?} from {rate} Hz"
            );
        }
    }
}

#[test]
fn every_format_lasts_as_long_as_the_samples_at_every_rate() {
    let folder = Folder::new();
    for format in FILES {
        for rate in RATES {
            let lengths = [
                (1, true),
                (2_048, false),
                (10_007, true),
                (2 * rate as usize + 1, false),
            ];
            for (samples, is_length_known) in lengths {
                let file = encode(format, rate, &sine(rate, samples), is_length_known, 997);
                let heard = ffmpeg_hears(&folder.keep(format.as_str(), &file)).len();
                let own_rate = rate_of(format, rate);
                let expected = samples as f64 * f64::from(own_rate) / f64::from(rate);
                let beyond = heard as f64 - expected;
                let case = format!(
                    "{format:?} {rate} Hz {samples} samples, known: {is_length_known}: {beyond} too many"
                );
                assert!(beyond >= -1.0, "{case}");
                assert!(beyond <= surplus(format, own_rate) as f64 + 1.0, "{case}");
            }
        }
    }
}

#[test]
fn a_tone_stays_that_tone_and_as_loud() {
    let folder = Folder::new();
    for format in FILES {
        for rate in RATES {
            let file = encode(format, rate, &sine(rate, rate as usize * 2), false, 4_096);
            let path = folder.keep(format.as_str(), &file);
            let heard = ffmpeg_hears(&path);
            let own_rate = rate_of(format, rate);
            // Without the first and last of it, where codecs fade.
            let middle = &heard[own_rate as usize / 2..own_rate as usize * 3 / 2];
            let (tone, all) = loudness(middle, own_rate, 440.0);
            assert!((0.45..0.55).contains(&tone), "{format:?} {rate} Hz: {tone}");
            assert!(tone / all > 0.99, "{format:?} {rate} Hz: {tone} of {all}");
        }
    }
}

#[test]
fn what_needs_no_other_rate_comes_back_bit_by_bit() {
    let folder = Folder::new();
    // Every bit of a sample in use.
    let noise: Vec<i16> = (0..50_001_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as i16)
        .collect();
    for is_length_known in [false, true] {
        assert_eq!(
            encode(AudioFormat::Pcm, 24_000, &noise, is_length_known, 333),
            bytes_of(&noise)
        );
        let wav = folder.keep(
            "a.wav",
            &encode(AudioFormat::Wav, 24_000, &noise, is_length_known, 333),
        );
        assert!(
            ffmpeg_hears(&wav) == noise && ffmpeg_hears_a_stream(&wav) == noise && sox_hears(&wav) == noise
        );
        for rate in RATES {
            for sound in [
                &noise,
                &sine(rate, 30_000),
                &vec![0; 5_000],
                &vec![i16::MIN; 5_000],
            ] {
                let flac = folder.keep(
                    "a.flac",
                    &encode(AudioFormat::Flac, rate, sound, is_length_known, 333),
                );
                assert!(&ffmpeg_hears(&flac) == sound, "FLAC at {rate} Hz");
                assert!(&ffmpeg_hears_a_stream(&flac) == sound && &sox_hears(&flac) == sound);
            }
        }
    }
}

#[test]
fn blocks_of_flac_of_every_small_length_are_read() {
    let folder = Folder::new();
    for samples in (1..40).chain(2_040..2_052) {
        let sound = sine(24_000, samples);
        let flac = folder.keep("a.flac", &encode(AudioFormat::Flac, 24_000, &sound, false, 4_096));
        assert!(ffmpeg_hears(&flac) == sound, "{samples} samples");
    }
}

#[test]
fn no_sound_at_all_is_a_file_without_sound() {
    let folder = Folder::new();
    for is_length_known in [false, true] {
        for format in FILES {
            let file = encode(format, 24_000, &[], is_length_known, 1);
            assert!(
                recognise(&file).is_some_and(|container| container.is(format)),
                "{format:?}"
            );
            let path = folder.keep(format.as_str(), &file);
            assert!(ffmpeg_hears(&path).len() <= surplus(format, 24_000), "{format:?}");
        }
        assert!(encode(AudioFormat::Pcm, 24_000, &[], is_length_known, 1).is_empty());
    }
}

#[test]
fn bare_samples_come_out_at_24_khz_and_do_not_drift() {
    for rate in RATES {
        let samples = 180 * rate as usize;
        let out = samples_of(&encode(
            AudioFormat::Pcm,
            rate,
            &sine(rate, samples),
            false,
            8_191,
        ));
        assert_eq!(out.len(), 180 * 24_000, "{rate} Hz");
        // The last second is in step with a tone that began with the first sample.
        let expected = sine(24_000, out.len());
        let last = out.len() - 24_000..out.len() - 1_000;
        let apart = last
            .map(|n| (i32::from(out[n]) - i32::from(expected[n])).abs())
            .max();
        assert!(apart < Some(200), "{rate} Hz: {apart:?}");
    }
}

#[test]
fn opus_says_where_the_sound_ends_and_that_every_page_is_whole() {
    let folder = Folder::new();
    let file = encode(AudioFormat::Opus, 24_000, &sine(24_000, 36_001), false, 100);
    let path = folder.keep("a.ogg", &file);
    assert_eq!(recognise(&file), Some(Container::OggOpus));
    assert_eq!(ffmpeg_hears(&path).len(), 72_002);
    // From one page's position to the next is never more than 200 ms.
    let positions: Vec<u64> = (0..file.len() - 27)
        .filter(|&at| file[at..].starts_with(b"OggS\0"))
        .map(|at| u64::from_le_bytes(file[at + 6..at + 14].try_into().unwrap()))
        .collect();
    assert_eq!(positions[..2], [0, 0]);
    assert!(
        positions.windows(2).all(|pair| pair[1] - pair[0] <= 9_600),
        "{positions:?}"
    );
    let flags: Vec<u8> = (0..file.len() - 27)
        .filter(|&at| file[at..].starts_with(b"OggS\0"))
        .map(|at| file[at + 5])
        .collect();
    assert_eq!((flags[0], flags[flags.len() - 1]), (2, 4));
}

#[test]
fn the_first_sound_leaves_within_a_fifth_of_a_second() {
    for format in ALL {
        for rate in RATES {
            let mut encoder = Encoder::new(format, rate, None).unwrap();
            let mut out = BytesMut::new();
            encoder.push(&[0; 2], &mut out).unwrap();
            let head = out.len();
            let sound = bytes_of(&sine(rate, rate as usize / 5));
            encoder.push(&sound, &mut out).unwrap();
            assert!(out.len() > head, "{format:?} at {rate} Hz holds back");
        }
    }
}

#[test]
fn a_head_leaves_with_the_first_byte() {
    for format in [AudioFormat::Opus, AudioFormat::Flac, AudioFormat::Wav] {
        let mut out = BytesMut::new();
        Encoder::new(format, 24_000, None)
            .unwrap()
            .push(&[0], &mut out)
            .unwrap();
        assert!(
            recognise(&out).is_some_and(|container| container.is(format)),
            "{format:?}"
        );
    }
}

#[test]
fn only_samples_as_they_are_cost_little() {
    let is_light = |format, rate| Encoder::new(format, rate, None).unwrap().is_light();
    assert!(is_light(AudioFormat::Wav, 24_000) && is_light(AudioFormat::Pcm, 24_000));
    assert!(!is_light(AudioFormat::Wav, 16_000));
    assert!(!is_light(AudioFormat::Mp3, 24_000) && !is_light(AudioFormat::Flac, 24_000));
}

#[test]
fn what_cannot_be_made_is_refused() {
    for format in AudioFormat::ALL {
        let is_made = Encoder::new(*format, 24_000, None).is_ok();
        assert_eq!(is_made, AudioFormat::MADE_HERE.contains(format), "{format}");
    }
    assert_eq!(ALL, AudioFormat::MADE_HERE);
    assert!(Encoder::new(AudioFormat::Aac, 24_000, None).is_err());
    for rate in [0, 7_999, 192_001, u32::MAX] {
        assert!(Encoder::new(AudioFormat::Wav, rate, None).is_err(), "{rate} Hz");
    }
    let odd = Encoder::new(AudioFormat::Pcm, 44_101, None).err().unwrap();
    assert_eq!(
        odd.to_string(),
        "preparing to resample: 44101 Hz and 24000 Hz have too little in common"
    );
}

#[test]
fn a_length_that_was_announced_and_not_kept_is_an_error() {
    let mut encoder = Encoder::new(AudioFormat::Wav, 24_000, Some(3)).unwrap();
    let mut out = BytesMut::new();
    encoder.push(&[0; 4], &mut out).unwrap();
    let error = encoder.finish(&mut out).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ending a sound of known length: 3 samples were announced and 2 came"
    );
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn where_samples_are_cut_makes_no_difference(
        samples in proptest::collection::vec(proptest::num::i16::ANY, 0..6_000),
        rate in proptest::sample::select(RATES.to_vec()),
        cuts in proptest::collection::vec(1_usize..3_000, 1..8),
    ) {
        let bytes = bytes_of(&samples);
        for format in ALL {
            let whole = encode(format, rate, &samples, false, usize::MAX);
            let mut encoder = Encoder::new(format, rate, None).unwrap();
            let (mut out, mut rest, mut cuts) = (BytesMut::new(), &bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                encoder.push(piece, &mut out).unwrap();
                rest = later;
            }
            encoder.finish(&mut out).unwrap();
            proptest::prop_assert!(out == whole, "{:?}", format);
            proptest::prop_assert_eq!(encoder.seconds(), samples.len() as f64 / f64::from(rate));
        }
    }

    #[test]
    fn byte_by_byte_is_the_same_as_at_once(samples in proptest::collection::vec(proptest::num::i16::ANY, 0..900)) {
        for format in ALL {
            let whole = encode(format, 22_050, &samples, true, usize::MAX);
            proptest::prop_assert!(encode(format, 22_050, &samples, true, 1) == whole, "{:?}", format);
        }
    }
}
