//! A provider's audio → the caller's container, piece by piece.
//!
//! What is not in the container that was asked for is noticed before a byte of it goes down: a container by its
//! beginning, samples by there being any. Encoding that takes more than moments runs off the event loop, no more of it
//! at once than there are cores.

use std::num::NonZero;
use std::sync::Arc;

use audio::{Encoder, WavReader};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use policies::unified::{AudioReader, Candidate, SpokenAs};
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
}

impl Source {
    pub fn new(candidate: &Candidate) -> Self {
        Self {
            reader: AudioReader::new(candidate),
            wav: WavReader::default(),
        }
    }

    /// Whether the answer may hold audio, by its head.
    pub fn begin(&self, head: &HeaderMap) -> Result<(), Fault> {
        let kind = head.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        self.reader.begin(kind.unwrap_or_default()).map_err(bad)
    }
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
    /// The beginning, until it shows which container it is; `None` once it has.
    beginning: Option<BytesMut>,
}

impl Sound {
    pub fn new(format: AudioFormat, spoken_as: SpokenAs) -> Self {
        let to_recognise = spoken_as == SpokenAs::AsAsked && format != AudioFormat::Pcm;
        Self {
            format,
            spoken_as,
            samples: None,
            encoder: None,
            rate: 0,
            pushed: 0,
            beginning: to_recognise.then(BytesMut::new),
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
        Some(head + samples * 2)
    }

    /// What a chunk of the provider's answer adds to the caller's.
    pub async fn feed(
        &mut self,
        source: &mut Source,
        chunk: Bytes,
        encoders: &Encoders,
    ) -> Result<Bytes, Fault> {
        let audio = source.reader.feed(chunk).map_err(bad)?;
        self.take(source, audio, encoders).await
    }

    /// The provider's answer is complete.
    pub async fn end_source(&mut self, mut source: Source, encoders: &Encoders) -> Result<Bytes, Fault> {
        let rest = source.reader.end().map_err(bad)?;
        let made = self.take(&mut source, rest, encoders).await?;
        match self.beginning.take() {
            Some(short) => self.recognised(short),
            None => Ok(made),
        }
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
            SpokenAs::AsAsked => self.passed(audio),
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

    fn passed(&mut self, audio: Bytes) -> Result<Bytes, Fault> {
        let Some(mut beginning) = self.beginning.take() else {
            return Ok(audio);
        };
        beginning.extend_from_slice(&audio);
        if beginning.len() < audio::ENOUGH {
            self.beginning = Some(beginning);
            return Ok(Bytes::new());
        }
        self.recognised(beginning)
    }

    fn recognised(&self, beginning: BytesMut) -> Result<Bytes, Fault> {
        let container = audio::recognise(&beginning);
        if container.is_some_and(|container| container.is(self.format)) {
            return Ok(beginning.freeze());
        }
        Err(Fault::Garbled(format!("the answer is no {} audio", self.format)))
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
            let mut out = BytesMut::new();
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
