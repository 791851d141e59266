//! A provider's audio → the caller's container, piece by piece.
//!
//! What is not in the container that was asked for is noticed before a byte of it goes down, by its beginning: samples
//! have none of their own, but they begin neither like a container nor like text. Encoding that takes more than moments runs off the event loop, no more of it
//! at once than there are cores.

use std::num::NonZero;
use std::sync::Arc;

use audio::{Container, Encoder, WavReader};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use policies::unified::{AudioReader, SpeechPlan, SpokenAs};
use policies::vocabulary::AudioFormat;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::stages::Fault;

/// Places for encoding, one per core.
pub struct Encoders(Arc<Semaphore>);

impl Encoders {
    pub fn of_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Semaphore::new(cores)))
    }

    /// Moves the encoder to another thread and back, so that a caller's other streams go on meanwhile.
    async fn run(
        &self,
        mut encoder: Box<Encoder>,
        work: impl FnOnce(&mut Encoder, &mut BytesMut) -> Result<(), audio::AudioError> + Send + 'static,
    ) -> Result<(Box<Encoder>, Bytes), Fault> {
        let place = self.0.clone().acquire_owned().await;
        let place = place.map_err(|error| Fault::Internal(error.to_string()))?;
        let worked = spawn_blocking(move || {
            let mut out = BytesMut::new();
            let result = work(&mut encoder, &mut out);
            drop(place);
            (encoder, out, result)
        });
        match worked.await {
            Ok((encoder, out, Ok(()))) => Ok((encoder, out.freeze())),
            Ok((_, _, Err(error))) => Err(Fault::Garbled(error.to_string())),
            Err(stopped) => Err(Fault::Internal(stopped.to_string())),
        }
    }
}

/// Where the audio of one of the provider's answers is taken out.
pub struct Source {
    reader: AudioReader,
    wav: WavReader,
    /// The beginning, until it shows whether it is what is due; `None` once it has.
    beginning: Option<(Due, BytesMut)>,
}

/// What an answer has to be.
#[derive(Clone, Copy)]
enum Due {
    Container(AudioFormat),
    Samples,
}

impl Source {
    pub fn new(plan: &SpeechPlan) -> Self {
        let candidate = plan.candidate();
        let speech = candidate.provider.speech.as_ref();
        let has_events = speech.is_some_and(|speech| speech.events.is_some());
        let due = match (plan.spoken_as, plan.format()) {
            (SpokenAs::AsAsked, AudioFormat::Pcm) => Some(Due::Samples),
            (SpokenAs::AsAsked, format) => Some(Due::Container(format)),
            // Events say themselves what they hold, and are read as text.
            (SpokenAs::Pcm { .. }, _) => (!has_events).then_some(Due::Samples),
            // Read as such.
            (SpokenAs::Wav, _) => None,
        };
        Self {
            reader: AudioReader::new(candidate),
            wav: WavReader::default(),
            beginning: due.map(|due| (due, BytesMut::new())),
        }
    }

    /// Whether the answer may hold audio, by its head.
    pub fn begin(&self, head: &HeaderMap) -> Result<(), Fault> {
        let kind = head.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        self.reader.begin(kind.unwrap_or_default()).map_err(bad)
    }

    /// What there is of the audio once its beginning is as it should be. `last`: no more will come.
    fn examined(&mut self, audio: Bytes, last: bool) -> Result<Bytes, Fault> {
        let Some((due, mut beginning)) = self.beginning.take() else {
            return Ok(audio);
        };
        beginning.extend_from_slice(&audio);
        if beginning.len() < audio::ENOUGH && !last {
            self.beginning = Some((due, beginning));
            return Ok(Bytes::new());
        }
        if beginning.is_empty() || due.is_met_by(&beginning) {
            return Ok(beginning.freeze());
        }
        Err(Fault::Garbled(match due {
            Due::Container(format) => format!("the answer is no {format} audio"),
            Due::Samples => "the answer is no samples".to_owned(),
        }))
    }
}

impl Due {
    fn is_met_by(self, beginning: &[u8]) -> bool {
        let container = audio::recognise(beginning);
        match self {
            Due::Container(format) => container.is_some_and(|container| container.is(format)),
            Due::Samples => {
                !(container.is_some_and(|container| is_marked(container, beginning)) || is_text(beginning))
            }
        }
    }
}

/// Whether a container shows by a mark of several letters. A frame of MP3 or AAC shows by a dozen bits, which samples
/// may begin with as well.
fn is_marked(container: Container, beginning: &[u8]) -> bool {
    match container {
        Container::Mp3 => beginning.starts_with(b"ID3"),
        Container::Aac => false,
        Container::OggOpus
        | Container::Ogg
        | Container::Flac
        | Container::Wav
        | Container::M4a
        | Container::WebM => true,
    }
}

/// Whether this begins like JSON or a page, and goes on in letters.
fn is_text(beginning: &[u8]) -> bool {
    let first = beginning.trim_ascii_start().first();
    let is_letter = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let begins = first.is_some_and(|first| matches!(first, b'{' | b'<' | b'['));
    begins && beginning.iter().take(audio::ENOUGH).all(is_letter)
}

/// One speech in the caller's container, from one answer or several.
pub struct Sound {
    format: AudioFormat,
    spoken_as: SpokenAs,
    /// How many samples will come, where the answer's head says so.
    pub samples: Option<u64>,
    encoder: Option<Box<Encoder>>,
    rate: u32,
    /// Bytes of samples taken in.
    pushed: u64,
}

impl Sound {
    pub fn new(format: AudioFormat, spoken_as: SpokenAs) -> Self {
        Self {
            format,
            spoken_as,
            samples: None,
            encoder: None,
            rate: 0,
            pushed: 0,
        }
    }

    /// Of what was taken in to be encoded here.
    pub fn seconds(&self) -> Option<f64> {
        self.encoder.as_ref().map(|encoder| encoder.seconds())
    }

    /// Of the whole audio, of which `first` is the beginning: a head and whole samples, where their number is known.
    pub fn length(&self, first: &[u8]) -> Option<u64> {
        let (samples, pushed) = (self.samples?, self.pushed & !1);
        let is_plain = self.format == AudioFormat::Wav && !first.is_empty();
        let head = (first.len() as u64).checked_sub(pushed).filter(|_| is_plain)?;
        samples.checked_mul(2)?.checked_add(head)
    }

    /// What a chunk of the provider's answer adds to the caller's.
    pub async fn feed(
        &mut self,
        source: &mut Source,
        chunk: Bytes,
        encoders: &Encoders,
    ) -> Result<Bytes, Fault> {
        let audio = source.reader.feed(chunk).map_err(bad)?;
        let audio = source.examined(audio, false)?;
        self.take(source, audio, encoders).await
    }

    /// The provider's answer is complete.
    pub async fn end_source(&mut self, mut source: Source, encoders: &Encoders) -> Result<Bytes, Fault> {
        let rest = source.reader.end().map_err(bad)?;
        let rest = source.examined(rest, true)?;
        self.take(&mut source, rest, encoders).await
    }

    /// The whole speech is complete.
    pub async fn finish(&mut self, encoders: &Encoders) -> Result<Bytes, Fault> {
        let Some(mut encoder) = self.encoder.take() else {
            return Ok(Bytes::new());
        };
        let out = if encoder.is_light() {
            let mut out = BytesMut::new();
            let finished = encoder.finish(&mut out);
            finished.map_err(|error| Fault::Garbled(error.to_string()))?;
            out.freeze()
        } else {
            let (same, out) = encoders.run(encoder, |encoder, out| encoder.finish(out)).await?;
            encoder = same;
            out
        };
        self.encoder = Some(encoder);
        Ok(out)
    }

    async fn take(&mut self, source: &mut Source, audio: Bytes, encoders: &Encoders) -> Result<Bytes, Fault> {
        if audio.is_empty() {
            return Ok(audio);
        }
        match self.spoken_as {
            SpokenAs::AsAsked => Ok(audio),
            SpokenAs::Pcm { rate } => {
                let rate = source.reader.rate().unwrap_or(rate);
                self.encode(audio, rate, encoders).await
            }
            SpokenAs::Wav => {
                let samples = source.wav.feed(audio);
                let samples = samples.map_err(|error| Fault::Garbled(error.to_string()))?;
                let rate = source.wav.rate().unwrap_or_default();
                self.encode(samples, rate, encoders).await
            }
        }
    }

    async fn encode(&mut self, samples: Bytes, rate: u32, encoders: &Encoders) -> Result<Bytes, Fault> {
        if samples.is_empty() {
            return Ok(samples);
        }
        let mut encoder = match self.encoder.take() {
            Some(encoder) if self.rate == rate => encoder,
            Some(_) => return Err(Fault::Garbled("the sample rate changed within a speech".into())),
            None => self.begin(rate)?,
        };
        self.pushed += samples.len() as u64;
        let out = if encoder.is_light() {
            // Room for a head before the samples, which stay as many where they are not resampled.
            let mut out = BytesMut::with_capacity(samples.len() + audio::ENOUGH);
            let pushed = encoder.push(&samples, &mut out);
            pushed.map_err(|error| Fault::Garbled(error.to_string()))?;
            out.freeze()
        } else {
            let push = move |encoder: &mut Encoder, out: &mut BytesMut| encoder.push(&samples, out);
            let (same, out) = encoders.run(encoder, push).await?;
            encoder = same;
            out
        };
        self.encoder = Some(encoder);
        Ok(out)
    }

    fn begin(&mut self, rate: u32) -> Result<Box<Encoder>, Fault> {
        self.rate = rate;
        let encoder = Encoder::new(self.format, rate, self.samples);
        encoder
            .map(Box::new)
            .map_err(|error| Fault::Garbled(error.to_string()))
    }
}

fn bad(answer: policies::unified::BadAnswer) -> Fault {
    Fault::Garbled(answer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_begin_neither_like_a_container_nor_like_text() {
        let refused: [&[u8]; 9] = [
            b"RIFF\xff\xff\xff\xffWAVEfmt ",
            b"OggS\0\x02",
            b"fLaC\x80",
            b"ID3\x04\0\0\0\0\0\0",
            b"\0\0\0\x1cftypM4A ",
            &[0x1a, 0x45, 0xdf, 0xa3, 0x9f],
            b" {\"error\": \"no\"}",
            b"<html>\n<head>",
            b"\r\n[]",
        ];
        for beginning in refused {
            assert!(!Due::Samples.is_met_by(beginning), "{beginning:02x?}");
        }
        let taken: [&[u8]; 5] = [
            &[0xff, 0xfb, 0x90, 0x64],
            &[0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc],
            b"{\0<\0",
            &[b'f'; 64],
            &[0; 64],
        ];
        for beginning in taken {
            assert!(Due::Samples.is_met_by(beginning), "{beginning:02x?}");
        }
    }

    #[test]
    fn a_length_that_no_answer_can_have_is_none() {
        let mut sound = Sound::new(AudioFormat::Wav, SpokenAs::Pcm { rate: 24_000 });
        sound.samples = Some(u64::MAX / 2 + 1);
        assert_eq!(sound.length(&[0; 44]), None);
        sound.samples = Some(10);
        assert_eq!(sound.length(&[0; 44]), Some(64));
    }
}
