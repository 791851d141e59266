//! How long a recording lasts, held against ffprobe over files that ffmpeg makes in every container.

mod tools;

use std::path::Path;
use std::process::Stdio;

use audio::{Container, Excerpt, recognise};
use proptest::prelude::*;
use tools::*;

/// Arguments of ffmpeg, and the name of the file they make.
const FILES: [(&str, &str); 21] = [
    ("-c:a pcm_s16le", "plain.wav"),
    ("-c:a pcm_f32le -ac 2", "float.wav"),
    ("-c:a pcm_s16le -rf64 always", "long.wav"),
    ("-c:a libmp3lame -b:a 64k", "constant.mp3"),
    ("-c:a libmp3lame -b:a 64k -write_xing 0", "without_a_note.mp3"),
    ("-c:a libmp3lame -q:a 4 -ac 2", "variable.mp3"),
    (
        "-c:a libmp3lame -q:a 4 -ar 22050 -id3v2_version 3 -write_id3v1 1",
        "tagged.mp3",
    ),
    ("-c:a libopus -b:a 32k", "opus.ogg"),
    ("-c:a libvorbis", "vorbis.ogg"),
    ("-c:a flac", "in_ogg.oga"),
    ("-c:a flac", "plain.flac"),
    ("-c:a aac -f adts", "adts.aac"),
    ("-c:a aac", "moov_last.m4a"),
    ("-c:a aac -movflags faststart", "moov_first.m4a"),
    (
        "-c:a aac -movflags frag_keyframe+empty_moov -frag_duration 500000",
        "fragments.m4a",
    ),
    (
        "-c:a aac -movflags frag_keyframe+empty_moov+default_base_moof+cmaf -frag_duration 2000000",
        "cmaf.mp4",
    ),
    ("-c:a alac", "lossless.m4a"),
    ("-c:a libopus", "opus.webm"),
    ("-c:a libvorbis", "vorbis.webm"),
    ("-c:a libopus -f webm -live 1", "live.webm"),
    ("-c:a flac", "flac.mka"),
];

/// Speech-like: a tone under noise, so that a variable bit rate varies.
fn source(seconds: &str) -> String {
    format!("aevalsrc=0.4*sin(440*2*PI*t)*sin(3*t)+0.2*(random(0)-0.5)*gt(sin(t)\\,0):s=48000:d={seconds}")
}

fn make(folder: &Folder, seconds: &str, options: &str, name: &str) -> std::path::PathBuf {
    let path = folder.path(name);
    let source = source(seconds);
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &source];
    arguments.extend(options.split_whitespace());
    arguments.push(path.to_str().unwrap());
    run("ffmpeg", &arguments, Stdio::null());
    path
}

fn excerpt(bytes: &[u8], piece: usize) -> Excerpt {
    let mut excerpt = Excerpt::default();
    for piece in bytes.chunks(piece) {
        excerpt.feed(piece);
    }
    excerpt
}

/// By ffprobe, and where the head does not say, by listening to all of it. Of AAC in ADTS ffprobe only has a guess.
fn lasts(path: &Path) -> f64 {
    let told = ffprobe_says(path, "format=duration").parse().ok();
    told.filter(|_| path.extension() != Some("aac".as_ref()))
        .unwrap_or_else(|| {
            let rate: f64 = ffprobe_says(path, "stream=sample_rate").parse().unwrap();
            ffmpeg_hears(path).len() as f64 / rate
        })
}

#[test]
fn recordings_of_every_kind_last_as_long_as_ffprobe_says() {
    let folder = Folder::new();
    for seconds in ["0.7", "40.3"] {
        for (options, name) in FILES {
            let path = make(&folder, seconds, options, name);
            let bytes = std::fs::read(&path).unwrap();
            let expected = lasts(&path);
            for piece in [1_000, 1_000_000] {
                let measured = excerpt(&bytes, piece).duration();
                let apart = (measured.unwrap_or(f64::NAN) - expected).abs();
                // A note in an MP3 leaves out what the codec added, and ffprobe does not.
                assert!(apart <= 0.1, "{name}: {measured:?}, and it lasts {expected}");
            }
        }
    }
}

#[test]
fn a_stream_that_ffmpeg_could_not_go_back_in_is_measured_too() {
    let folder = Folder::new();
    for (options, name) in [
        ("-f wav", "a.wav"),
        ("-f flac", "a.flac"),
        ("-f webm -c:a libopus", "a.webm"),
        ("-f mp3 -c:a libmp3lame", "a.mp3"),
        ("-f ogg -c:a libopus", "a.ogg"),
    ] {
        let source = source("47.25");
        let mut arguments = vec!["-v", "error", "-f", "lavfi", "-i", &source];
        arguments.extend(options.split_whitespace());
        arguments.push("pipe:1");
        let bytes = run("ffmpeg", &arguments, Stdio::null());
        let path = folder.keep(name, &bytes);
        let heard = ffmpeg_hears(&path).len() as f64
            / ffprobe_says(&path, "stream=sample_rate").parse::<f64>().unwrap();
        let measured = excerpt(&bytes, 4_096).duration();
        assert!(
            (measured.unwrap_or(f64::NAN) - heard).abs() < 0.1,
            "{name}: {measured:?}, and it lasts {heard}"
        );
    }
}

#[test]
fn an_mp3_with_a_picture_larger_than_what_is_kept_is_measured() {
    let folder = Folder::new();
    let bytes = std::fs::read(make(
        &folder,
        "60",
        "-c:a libmp3lame -b:a 64k -write_xing 0 -id3v2_version 0",
        "a.mp3",
    ))
    .unwrap();
    let picture = 1_500_000_usize;
    let size = [21, 14, 7, 0].map(|shift| (picture >> shift & 0x7f) as u8);
    let tagged = [&b"ID3\x03\0\0"[..], &size, &vec![0xff; picture], &bytes].concat();
    let measured = excerpt(&tagged, 10_000).duration().unwrap();
    assert!((measured - 60.0).abs() < 0.3, "{measured}");
}

#[test]
fn what_is_kept_does_not_grow_with_the_file() {
    let mut excerpt = Excerpt::default();
    excerpt.feed(b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\xc0\x5d\0\0\x80\xbb\0\0\x02\0\x10\0data\xff\xff\xff\xff");
    for _ in 0..100 {
        excerpt.feed(&[7; 480_000]);
    }
    assert_eq!(excerpt.beginning().len(), 256 * 1024);
    assert_eq!(excerpt.length(), 48_000_044);
    assert_eq!(excerpt.duration(), Some(1_000.0));
}

/// A WAV file of this length by a head that says it takes so many bytes for a second.
fn claims(bytes_per_second: u32, length: usize) -> Option<f64> {
    let head = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0\0\xee\x02\0";
    let mut file = [
        &head[..],
        &bytes_per_second.to_le_bytes(),
        b"\x08\0\x20\0data\xff\xff\xff\xff",
    ]
    .concat();
    file.resize(length, 7);
    excerpt(&file, 100_000).duration()
}

#[test]
fn a_length_that_so_many_bytes_cannot_have_is_not_believed() {
    let densest_there_is = 192_000 * 4 * 2;
    assert!(claims(densest_there_is, 3_072_044).is_some_and(|seconds| (seconds - 2.0).abs() < 1e-9));
    assert!(claims(1_000, 100_044).is_some_and(|seconds| (seconds - 100.0).abs() < 1e-9));
    assert_eq!(claims(u32::MAX, 1_000_000), None);
    assert_eq!(claims(1, 1_000_000), None);
    assert_eq!(claims(110, 10_000_000), None, "more than a day");
}

#[test]
fn files_that_do_not_say_how_long_they_last_have_no_duration() {
    for bytes in [
        &b""[..],
        b"ID3",
        b"OggS",
        b"fLaC",
        b"\0\0\0\x1cftypM4A ",
        b"\x1a\x45\xdf\xa3",
        b"{\"text\":1}",
        &[0; 5_000],
    ] {
        assert_eq!(excerpt(bytes, 3).duration(), None, "{bytes:02x?}");
    }
}

fn specimens() -> &'static [Vec<u8>] {
    static SPECIMENS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    SPECIMENS.get_or_init(|| {
        let folder = Folder::new();
        let files = FILES
            .iter()
            .map(|(options, name)| make(&folder, "0.5", options, name));
        files.map(|path| std::fs::read(path).unwrap()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_files_are_survived(
        which in 0_usize..FILES.len(),
        damage in proptest::collection::vec((0_usize..100_000, any::<u8>()), 1..30),
        is_at_the_start in any::<bool>(),
        cut in 0_usize..100_000,
        piece in 1_usize..5_000,
    ) {
        let mut bytes = specimens()[which].clone();
        for (at, byte) in damage {
            let reach = if is_at_the_start { bytes.len().min(600) } else { bytes.len() };
            bytes[at % reach] = byte;
        }
        bytes.truncate(bytes.len() - cut % 2 * (cut % bytes.len()));
        let measured = excerpt(&bytes, piece).duration();
        prop_assert!(measured.is_none_or(|seconds| seconds.is_finite() && seconds >= 0.0));
        prop_assert_eq!(excerpt(&bytes, usize::MAX).duration(), measured);
    }

    #[test]
    fn bytes_of_chance_behind_any_mark_are_survived(
        mark in proptest::sample::select(vec![
            &b"RIFF\0\0\0\0WAVE"[..], b"ID3\x03\0\0\0\0\0\0", b"\xff\xfb\x90\x64", b"OggS\0\x02", b"fLaC\0\0\0\x22",
            b"\xff\xf1\x50\x80\x02\x1f\xfc", b"\0\0\0\x10ftypM4A \0\0\0\0", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff",
        ]),
        chance in proptest::collection::vec(any::<u8>(), 0..3_000),
        piece in 1_usize..500,
    ) {
        let bytes = [mark, &chance].concat();
        let measured = excerpt(&bytes, piece);
        prop_assert!(measured.duration().is_none_or(|seconds| seconds.is_finite() && seconds >= 0.0));
        prop_assert!(recognise(&bytes).is_some() || bytes.len() < 8);
    }
}

#[test]
fn each_file_is_recognised() {
    let expected = FILES.map(|(_, name)| match name.rsplit_once('.').unwrap().1 {
        "wav" => Container::Wav,
        "mp3" => Container::Mp3,
        "ogg" if name.starts_with("opus") => Container::OggOpus,
        "ogg" | "oga" => Container::Ogg,
        "flac" => Container::Flac,
        "aac" => Container::Aac,
        "m4a" | "mp4" => Container::M4a,
        _ => Container::WebM,
    });
    for ((file, expected), (_, name)) in specimens().iter().zip(expected).zip(FILES) {
        assert_eq!(recognise(&file[..audio::ENOUGH]), Some(expected), "{name}");
    }
}
