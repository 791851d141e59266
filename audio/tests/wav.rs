//! WAV files in pieces: the samples come out, and nothing else.

mod tools;

use audio::{AudioError, WavReader};
use bytes::Bytes;
use policies::vocabulary::AudioFormat;
use proptest::prelude::*;
use tools::*;

fn chunk(name: &[u8; 4], size: u32, content: &[u8]) -> Vec<u8> {
    [name, &size.to_le_bytes()[..], content].concat()
}

fn format(tag: u16, channels: u16, bits: u16) -> Vec<u8> {
    let block = channels * bits / 8;
    let (tag, channels) = (tag.to_le_bytes(), channels.to_le_bytes());
    let (rate, speed) = (
        22_050_u32.to_le_bytes(),
        (22_050 * u32::from(block)).to_le_bytes(),
    );
    let content = [
        &tag[..],
        &channels,
        &rate,
        &speed,
        &block.to_le_bytes(),
        &bits.to_le_bytes(),
    ]
    .concat();
    chunk(b"fmt ", 16, &content)
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    [&b"RIFF\xff\xff\xff\xffWAVE"[..], &chunks.concat()].concat()
}

fn read(file: &[u8], piece: usize) -> Result<(Vec<u8>, Option<u32>), AudioError> {
    let mut reader = WavReader::default();
    let mut samples = Vec::new();
    for piece in file.chunks(piece) {
        samples.extend(reader.feed(Bytes::copy_from_slice(piece))?);
    }
    Ok((samples, reader.rate()))
}

#[test]
fn chunks_around_the_samples_are_left_out() {
    let sound = bytes_of(&sine(22_050, 501));
    let list = chunk(b"LIST", 5, b"INFOx\0");
    let data = chunk(b"data", sound.len() as u32, &sound);
    let file = riff(&[list.clone(), format(1, 1, 16), list.clone(), data, list]);
    for piece in [1, 7, 46, 10_000] {
        assert_eq!(
            read(&file, piece).unwrap(),
            (sound.clone(), Some(22_050)),
            "pieces of {piece}"
        );
    }
}

#[test]
fn a_stream_is_read_to_its_end() {
    let sound = bytes_of(&sine(22_050, 501));
    for size in [0, u32::MAX, 0x7fff_f000] {
        let file = riff(&[format(1, 1, 16), chunk(b"data", size, &sound)]);
        assert_eq!(read(&file, 13).unwrap().0, sound, "size {size}");
    }
}

#[test]
fn both_ears_become_one() {
    let file = riff(&[
        format(1, 2, 16),
        chunk(b"data", 8, &bytes_of(&[100, 300, i16::MIN, i16::MIN])),
    ]);
    for piece in [1, 3, 100] {
        assert_eq!(
            samples_of(&read(&file, piece).unwrap().0),
            [200, i16::MIN],
            "pieces of {piece}"
        );
    }
}

#[test]
fn what_the_encoder_and_ffmpeg_write_is_read() {
    let folder = Folder::new();
    let sound = sine(24_000, 12_345);
    for is_length_known in [false, true] {
        let file = encode(AudioFormat::Wav, 24_000, &sound, is_length_known, 1_000);
        assert_eq!(read(&file, 99).unwrap(), (bytes_of(&sound), Some(24_000)));
    }
    let path = folder.keep("a.wav", &encode(AudioFormat::Wav, 24_000, &sound, true, 1_000));
    let (from, to) = (path.to_str().unwrap(), folder.path("long.wav"));
    let arguments = ["-v", "error", "-i", from, "-rf64", "always", to.to_str().unwrap()];
    run("ffmpeg", &arguments, std::process::Stdio::null());
    assert_eq!(read(&std::fs::read(to).unwrap(), 99).unwrap().0, bytes_of(&sound));
}

#[test]
fn other_encodings_are_refused_by_name() {
    let refused = |chunks: &[Vec<u8>]| read(&riff(chunks), 5).unwrap_err().to_string();
    let data = chunk(b"data", 8, &[0; 8]);
    assert_eq!(
        refused(&[format(3, 1, 32), data.clone()]),
        "reading a WAV file: its samples are of encoding 3 with 32 bits, not whole numbers of 16"
    );
    assert_eq!(
        refused(&[format(1, 6, 16), data.clone()]),
        "reading a WAV file: it has 6 channels, not one or two"
    );
    assert_eq!(
        refused(&[data]),
        "reading a WAV file: samples come before their encoding"
    );
    let error = read(b"ID3\x03\0\0\0\0\0\0\0\0\0", 3).unwrap_err();
    assert_eq!(error.to_string(), "reading a WAV file: it does not begin as one");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn bytes_of_chance_are_survived(chance in proptest::collection::vec(any::<u8>(), 0..500), piece in 1_usize..50) {
        for head in [riff(&[]), riff(&[format(1, 2, 16)]), Vec::new()] {
            let file = [head, chance.clone()].concat();
            if let Ok((samples, _)) = read(&file, piece) {
                prop_assert!(samples.len() <= file.len());
            }
        }
    }
}
