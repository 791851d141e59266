//! The two ends of a file that passes, and what they say of the whole.
//!
//! Where neither end says it, in M4A and WebM, the file's structure is followed as it passes. `excerpt/` has one reader
//! per container; none of them trusts a size.

mod flac;
mod mp3;
mod mp4;
mod ogg;
mod webm;

use self::mp4::Mp4;
use self::webm::WebM;
use crate::container::{Container, ENOUGH, recognise};
use crate::walk::Walk;
use crate::{frames, wav};

const BEGINNING: usize = 256 * 1024;
/// No page of Ogg is longer, so the last one begins within.
const END: usize = 64 * 1024;

/// A day, in seconds.
const LONGEST: f64 = 24.0 * 3600.0;
/// Bytes per second of the quietest sound there is; anything sparser is a head that claims too much.
const SPARSEST: f64 = 100.0;
/// Of two channels at 192 kHz with 32 bits, and a little more.
const DENSEST_SOUND: f64 = 1_600_000.0;
/// Of a film whose sound is wanted.
const DENSEST_FILM: f64 = 8_000_000.0;

/// Fed with every chunk of an upload; keeps its beginning, its end and its length, and nothing between.
#[derive(Debug, Default)]
pub struct Excerpt {
    beginning: Vec<u8>,
    /// The last [`END`] bytes, and up to as many before them.
    end: Vec<u8>,
    length: u64,
    walk: Walk,
    followed: Followed,
}

#[derive(Debug, Default)]
enum Followed {
    #[default]
    Undecided,
    Nothing,
    Mp4(Mp4),
    WebM(WebM),
}

impl Excerpt {
    pub fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.followed, Followed::Undecided) {
            self.keep(bytes);
            self.follow(bytes);
            return;
        }
        let (first, rest) = bytes.split_at(bytes.len().min(ENOUGH - self.beginning.len()));
        self.keep(first);
        if self.beginning.len() < ENOUGH {
            return;
        }
        self.followed = match recognise(&self.beginning) {
            Some(Container::M4a) => Followed::Mp4(Mp4::default()),
            Some(Container::WebM) => Followed::WebM(WebM::default()),
            _ => Followed::Nothing,
        };
        self.follow(&self.beginning.clone());
        self.keep(rest);
        self.follow(rest);
    }

    /// The beginning, as far as it is kept.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Seconds, by the headers of WAV, MP3, Ogg, FLAC, M4A and WebM; `None` where they do not say, or say what so many
    /// bytes cannot last. Whoever sends a file writes its headers as well.
    pub fn duration(&self) -> Option<f64> {
        let container = recognise(&self.beginning)?;
        let seconds = match container {
            Container::Wav => wav::duration(&self.beginning, self.length),
            Container::Mp3 => mp3::duration(&self.beginning, self.end(), self.length),
            Container::Aac => frames::seconds(frames::adts, &self.beginning, self.length),
            Container::OggOpus | Container::Ogg => ogg::duration(&self.beginning, self.end()),
            Container::Flac => flac::duration(&self.beginning, self.end()),
            Container::M4a | Container::WebM => match &self.followed {
                Followed::Mp4(mp4) => mp4.duration(),
                Followed::WebM(webm) => webm.duration(),
                Followed::Undecided | Followed::Nothing => None,
            },
        };
        seconds.filter(|seconds| is_plausible(*seconds, self.length, container))
    }

    fn end(&self) -> &[u8] {
        &self.end[self.end.len().saturating_sub(END)..]
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = BEGINNING - self.beginning.len();
        self.beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);

        let last = &bytes[bytes.len().saturating_sub(END)..];
        if self.end.len() + last.len() > 2 * END {
            self.end.drain(..self.end.len() - END);
        }
        self.end.extend_from_slice(last);
    }

    fn follow(&mut self, bytes: &[u8]) {
        match &mut self.followed {
            Followed::Mp4(mp4) => self.walk.feed(mp4, bytes),
            Followed::WebM(webm) => self.walk.feed(webm, bytes),
            Followed::Undecided | Followed::Nothing => return,
        };
    }
}

/// Neither infinity nor what is no number passes the comparisons.
fn is_plausible(seconds: f64, bytes: u64, container: Container) -> bool {
    let densest = match container {
        Container::M4a | Container::WebM => DENSEST_FILM,
        _ => DENSEST_SOUND,
    };
    let bytes = bytes as f64;
    let longest = (bytes / SPARSEST).min(LONGEST);
    (bytes / densest..=longest).contains(&seconds)
}
