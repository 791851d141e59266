//! How many seconds bytes of sound are, as far as the sound says so itself: by its MIME type, or by the head of
//! a WAVE stream.

/// What a MIME type says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mime {
    /// Samples of 16 bits, at this rate where it is named.
    Samples(Option<f64>),
    /// A WAVE file, whose head says more; the rate that is named beside it.
    Wave(Option<f64>),
    /// Sound without a constant rate.
    Compressed,
    /// A picture, or text.
    Silent,
}

impl Mime {
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut rate = None;
        let mut channels = 1.0;
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let number = value.trim().trim_matches('"').parse::<u32>().ok().map(f64::from);
            let number = number.filter(|number| *number > 0.0);
            match name.trim().to_ascii_lowercase().as_str() {
                "rate" | "samplerate" => rate = number,
                "channels" => channels = number.unwrap_or(1.0),
                _ => {}
            }
        }
        let per_second = rate.map(|rate| rate * 2.0 * channels);
        match kind.as_str() {
            "audio/pcm" | "audio/l16" | "audio/x-pcm" => Self::Samples(per_second),
            "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Self::Wave(per_second),
            _ if kind.starts_with("audio/") => Self::Compressed,
            _ => Self::Silent,
        }
    }
}

/// The head of a stream that may begin with one, in pieces of any size. What is not a WAVE stream is sound from
/// its first byte on.
#[derive(Clone, Debug)]
pub(crate) struct WaveHead {
    at: At,
    /// A chunk's name and size, or as much of its content as matters.
    held: [u8; 16],
    length: usize,
    rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Riff,
    Chunk,
    /// The format, of which so many bytes follow those that are read.
    Format {
        rest: u64,
    },
    Skipped(u64),
    Sound {
        is_wave: bool,
    },
}

impl WaveHead {
    pub fn new() -> Self {
        Self {
            at: At::Riff,
            held: [0; 16],
            length: 0,
            rate: None,
        }
    }

    /// Bytes per second of a WAVE stream; `None` inside: its head says nothing useful. `None`: it is none.
    pub fn wave(&self) -> Option<Option<f64>> {
        (self.at == At::Sound { is_wave: true }).then_some(self.rate)
    }

    /// How many bytes of sound came to light.
    pub fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        loop {
            let wanted = match self.at {
                At::Sound { .. } => return bytes.len() as u64,
                At::Skipped(left) => {
                    let skipped = left.min(bytes.len() as u64);
                    bytes = &bytes[skipped as usize..];
                    if left > skipped {
                        self.at = At::Skipped(left - skipped);
                        return 0;
                    }
                    self.at = At::Chunk;
                    continue;
                }
                At::Riff => 12,
                At::Chunk => 8,
                At::Format { .. } => 16,
            };
            let taken = (wanted - self.length).min(bytes.len());
            self.held[self.length..self.length + taken].copy_from_slice(&bytes[..taken]);
            self.length += taken;
            bytes = &bytes[taken..];
            if self.at == At::Riff && !self.may_be_wave() {
                self.at = At::Sound { is_wave: false };
                return (self.length + bytes.len()) as u64;
            }
            if self.length < wanted {
                return 0;
            }
            self.length = 0;
            self.at = self.next();
        }
    }

    fn may_be_wave(&self) -> bool {
        let held = &self.held[..self.length];
        let is = |at: usize, wanted: &[u8]| {
            let there = held.get(at..).unwrap_or_default();
            let common = there.len().min(wanted.len());
            there[..common] == wanted[..common]
        };
        is(0, b"RIFF") && is(8, b"WAVE")
    }

    fn next(&mut self) -> At {
        let number = |at: usize| {
            u32::from_le_bytes([
                self.held[at],
                self.held[at + 1],
                self.held[at + 2],
                self.held[at + 3],
            ])
        };
        match self.at {
            At::Format { rest } => {
                // Decoders go by these two, and not by the rate that the head says beside them.
                let block = u32::from(u16::from_le_bytes([self.held[12], self.held[13]]));
                let per_second = f64::from(number(4)) * f64::from(block);
                self.rate = (per_second > 0.0).then_some(per_second);
                At::Skipped(rest)
            }
            At::Chunk => {
                let size = u64::from(number(4));
                // A chunk of odd size is followed by a byte of nothing.
                let padded = size + size % 2;
                match &self.held[..4] {
                    b"data" => At::Sound { is_wave: true },
                    b"fmt " if size >= 16 => At::Format { rest: padded - 16 },
                    _ => At::Skipped(padded),
                }
            }
            _ => At::Chunk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mime_type_says_the_rate() {
        for (text, meant) in [
            ("audio/pcm;rate=16000", Mime::Samples(Some(32_000.0))),
            ("Audio/PCM; Rate=24000; x=y", Mime::Samples(Some(48_000.0))),
            (
                "audio/L16;codec=pcm;rate=24000;channels=2",
                Mime::Samples(Some(96_000.0)),
            ),
            ("audio/pcm", Mime::Samples(None)),
            ("audio/pcm;rate=0", Mime::Samples(None)),
            ("audio/pcm;rate=fast;rate", Mime::Samples(None)),
            (
                "audio/x-wav; codecs=audio/pcm; samplerate=16000",
                Mime::Wave(Some(32_000.0)),
            ),
            ("audio/ogg; codecs=opus", Mime::Compressed),
            ("image/jpeg", Mime::Silent),
            ("", Mime::Silent),
        ] {
            assert_eq!(Mime::parse(text), meant, "{text}");
        }
    }

    pub(crate) fn head(rate: u32, extra: &[u8]) -> Vec<u8> {
        let mut head = b"RIFF\0\0\0\0WAVE".to_vec();
        head.extend_from_slice(extra);
        head.extend_from_slice(b"fmt \x10\0\0\0\x01\0\x01\0");
        head.extend_from_slice(&(rate / 2).to_le_bytes());
        head.extend_from_slice(&rate.to_le_bytes());
        head.extend_from_slice(b"\x02\0\x10\0data\0\0\0\0");
        head
    }

    #[test]
    fn a_head_is_no_sound_wherever_it_is_cut() {
        let stream = |extra: &[u8]| [head(32_000, extra), vec![7; 100]].concat();
        for (bytes, sound, wave) in [
            (stream(b""), 100, Some(Some(32_000.0))),
            (stream(b"LIST\x03\0\0\0abc\0"), 100, Some(Some(32_000.0))),
            (b"RIFF\0\0\0\0WAVEdata\0\0\0\0xy".to_vec(), 2, Some(None)),
            (b"RIFFRAFF, not sound at all".to_vec(), 26, None),
            (b"RIFF\0\0\0\0AVI ".to_vec(), 12, None),
            (vec![0; 50], 50, None),
            (b"RIF".to_vec(), 0, None),
            (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xffxxxx".to_vec(), 0, None),
        ] {
            for chunk in 1..=bytes.len() {
                let mut reader = WaveHead::new();
                let heard: u64 = bytes.chunks(chunk).map(|bytes| reader.feed(bytes)).sum();
                assert_eq!((heard, reader.wave()), (sound, wave), "in chunks of {chunk}");
            }
        }
    }
}
