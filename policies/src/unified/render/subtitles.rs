//! SubRip and WebVTT. A cue has text and lasts at least a millisecond; none outlasts the audio where its length is
//! known and the cue begins within it.

use std::fmt::Write;

use crate::unified::{Segment, Transcript};

pub(super) fn srt(transcript: &Transcript) -> String {
    let mut body = String::new();
    for (nth, cue) in cues(transcript).iter().enumerate() {
        // SubRip cannot escape the arrow, which readers take for a line of times.
        let text = lines(&cue.text).replace("-->", "-- >");
        let (start, end) = (timestamp(cue.start, ','), timestamp(cue.end, ','));
        let _ = write!(body, "{}\n{start} --> {end}\n{text}\n\n", nth + 1);
    }
    body
}

pub(super) fn vtt(transcript: &Transcript) -> String {
    let mut body = String::from("WEBVTT\n\n");
    for cue in cues(transcript) {
        let text = lines(&cue.text)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let (start, end) = (timestamp(cue.start, '.'), timestamp(cue.end, '.'));
        let _ = write!(body, "{start} --> {end}\n{text}\n\n");
    }
    body
}

/// Times in whole milliseconds, as both formats write them.
struct Cue {
    text: String,
    start: u64,
    end: u64,
}

fn cues(transcript: &Transcript) -> Vec<Cue> {
    let last = transcript.known_duration().map(milliseconds);
    let cue = |segment: Segment| {
        let start = milliseconds(segment.start);
        let end = milliseconds(segment.end);
        let end = last
            .filter(|last| *last > start)
            .map_or(end, |last| end.min(last));
        Cue {
            text: segment.text,
            start,
            end: end.max(start + 1),
        }
    };
    transcript.segmented().into_iter().map(cue).collect()
}

/// Beyond this there is no audio, and hours stay readable: 100 days.
const LONGEST: f64 = 100.0 * 24.0 * 3600.0;

fn milliseconds(seconds: f64) -> u64 {
    (seconds.min(LONGEST) * 1000.0).round() as u64
}

fn timestamp(milliseconds: u64, mark: char) -> String {
    let seconds = milliseconds / 1000;
    format!(
        "{:02}:{:02}:{:02}{mark}{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        milliseconds % 1000
    )
}

/// Lines without empty ones between them, which would end the cue.
fn lines(text: &str) -> String {
    let lines = text
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}
