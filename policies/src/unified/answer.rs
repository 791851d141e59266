//! A provider's successful answer → audio or a transcript, by the descriptor's pointers.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;

use super::{Candidate, Segment, Transcript, TranscriptionRequest, Word};
use crate::descriptor::{Pointer, SpeechEvents, StretchEnd, Stretches, TranscriptPointers};
use crate::rules::duration;

/// A 2xx that is not what was asked for: no audio, an end that is none, an error in the middle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(pub String);

fn bad(what: impl Into<String>) -> BadAnswer {
    BadAnswer(what.into())
}

/// More than any provider puts into one event: half a minute of samples in base64.
const LONGEST_EVENT: usize = 4 * 1024 * 1024;

const BASE64: GeneralPurpose = engine(&alphabet::STANDARD);
const BASE64_URL: GeneralPurpose = engine(&alphabet::URL_SAFE);

const fn engine(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let padding = DecodePaddingMode::Indifferent;
    GeneralPurpose::new(
        alphabet,
        GeneralPurposeConfig::new().with_decode_padding_mode(padding),
    )
}

/// Takes audio out of an answer as it arrives. Where the body is the audio, it passes through uncopied.
pub struct AudioReader {
    kind: Kind,
    any: bool,
}

enum Kind {
    Body,
    Events(Box<EventReader>),
}

impl AudioReader {
    pub fn new(candidate: &Candidate) -> Self {
        let events = candidate
            .provider
            .speech
            .as_ref()
            .and_then(|source| source.events.clone());
        Self {
            kind: events.map_or(Kind::Body, |at| Kind::Events(Box::new(EventReader::new(at)))),
            any: false,
        }
    }

    /// A page or a message is no audio, whatever its status and however much of it samples would be.
    pub fn begin(&self, content_type: &str) -> Result<(), BadAnswer> {
        let kind = content_type.to_ascii_lowercase();
        let is_text =
            kind.starts_with("text/") || ["json", "html", "xml"].iter().any(|text| kind.contains(text));
        match self.kind {
            Kind::Body if is_text => Err(bad("the answer is text and no audio")),
            Kind::Body | Kind::Events(_) => Ok(()),
        }
    }

    /// The audio in this chunk; empty when there is none yet.
    pub fn feed(&mut self, chunk: Bytes) -> Result<Bytes, BadAnswer> {
        let audio = match &mut self.kind {
            Kind::Body => chunk,
            Kind::Events(events) => events.feed(&chunk)?,
        };
        self.any |= !audio.is_empty();
        Ok(audio)
    }

    /// The answer is complete: what is left of the audio, or why it is no speech.
    pub fn end(&mut self) -> Result<Bytes, BadAnswer> {
        let rest = match &mut self.kind {
            Kind::Body => Bytes::new(),
            Kind::Events(events) => events.end()?,
        };
        self.any |= !rest.is_empty();
        if self.any {
            Ok(rest)
        } else {
            Err(bad("the answer holds no audio"))
        }
    }

    /// The sample rate, where the answer says one.
    pub fn rate(&self) -> Option<u32> {
        match &self.kind {
            Kind::Body => None,
            Kind::Events(events) => events.rate,
        }
    }
}

/// Audio in base64 in the `data:` lines of server-sent events.
struct EventReader {
    at: SpeechEvents,
    /// What has arrived of the line to come, of which so much holds no line break.
    line: BytesMut,
    scanned: usize,
    event: Vec<u8>,
    finished: bool,
    rate: Option<u32>,
}

impl EventReader {
    fn new(at: SpeechEvents) -> Self {
        let (line, event) = (BytesMut::new(), Vec::new());
        Self {
            at,
            line,
            scanned: 0,
            event,
            finished: false,
            rate: None,
        }
    }

    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, BadAnswer> {
        self.line.extend_from_slice(chunk);
        let mut audio = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.line[self.scanned..]) {
            let line = self.line.split_to(self.scanned + end);
            self.line.advance(1);
            self.scanned = 0;
            self.read_line(line.strip_suffix(b"\r").unwrap_or(&line), &mut audio)?;
        }
        self.scanned = self.line.len();
        // What a long event took is not kept while the next is waited for.
        if self.line.is_empty() {
            self.line = BytesMut::new();
        }
        if self.line.len() + self.event.len() > LONGEST_EVENT {
            return Err(bad("an event of the answer is too long"));
        }
        Ok(Bytes::from(audio))
    }

    fn end(&mut self) -> Result<Bytes, BadAnswer> {
        let mut audio = Vec::new();
        let line = self.line.split();
        self.read_line(&line, &mut audio)?;
        self.read_event(&mut audio)?;
        if self.at.finish.is_some() && !self.finished {
            return Err(bad("the answer stops before its end"));
        }
        Ok(Bytes::from(audio))
    }

    fn read_line(&mut self, line: &[u8], audio: &mut Vec<u8>) -> Result<(), BadAnswer> {
        if line.is_empty() {
            return self.read_event(audio);
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            self.event.reserve(data.len() + 1);
            self.event.extend_from_slice(data);
            self.event.push(b'\n');
        }
        Ok(())
    }

    /// An event is complete. Anything that is not JSON, such as `[DONE]`, says nothing.
    fn read_event(&mut self, audio: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let read = serde_json::from_slice::<Value>(&std::mem::take(&mut self.event));
        let Ok(root) = read else { return Ok(()) };
        if self.at.error.as_ref().is_some_and(|at| at.first(&root).is_some()) {
            return Err(bad("the answer reports an error in its middle"));
        }
        if let Some(mime) = self.at.mime.as_ref().and_then(|at| at.text(&root)) {
            if !is_of_samples(&mime) {
                return Err(bad("the answer's audio is not samples"));
            }
            self.rate = rate_in(&mime).or(self.rate);
        }
        self.read_audio(&root, audio)?;
        if let Some((at, ends)) = &self.at.finish {
            self.finished |= check_end(&root, at, ends)?;
        }
        Ok(())
    }

    fn read_audio(&self, root: &Value, audio: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let mut result = Ok(());
        self.at.audio.visit(root, &mut |value| {
            let Some(text) = value.as_str() else { return };
            let is_url_safe = memchr::memchr2(b'-', b'_', text.as_bytes()).is_some();
            let engine = if is_url_safe { &BASE64_URL } else { &BASE64 };
            if engine.decode_vec(text, audio).is_err() {
                result = Err(bad("the answer's audio is not base64"));
            }
        });
        result
    }
}

/// Whether the answer says that it is over; it may be over for one of a few reasons only.
fn check_end(root: &Value, at: &Pointer, ends: &[String]) -> Result<bool, BadAnswer> {
    let mut finished = false;
    let mut wrong = false;
    at.visit(root, &mut |value| {
        if let Some(reason) = value.as_str() {
            finished = true;
            wrong |= !ends.iter().any(|end| end == reason);
        }
    });
    if wrong {
        Err(bad("the answer was ended before it was complete"))
    } else {
        Ok(finished)
    }
}

fn is_of_samples(mime: &str) -> bool {
    let kind = mime.split(';').next().unwrap_or_default().trim();
    let of_samples = ["audio/l16", "audio/pcm", "audio/raw", "audio/x-raw"];
    of_samples.iter().any(|known| kind.eq_ignore_ascii_case(known))
}

/// `audio/L16;codec=pcm;rate=24000`, in any case and with blanks.
fn rate_in(mime: &str) -> Option<u32> {
    mime.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_rate = name.trim().eq_ignore_ascii_case("rate");
        is_rate.then(|| value.trim().parse().ok()).flatten()
    })
}

pub fn read_transcript(
    candidate: &Candidate,
    request: &TranscriptionRequest,
    body: &[u8],
) -> Result<Transcript, BadAnswer> {
    let source = candidate.provider.transcription.as_ref();
    let at = source
        .map(|source| &source.answer)
        .ok_or_else(|| bad("the provider has no transcripts"))?;
    let root = serde_json::from_slice(body).map_err(|_| bad("the answer is not JSON"))?;
    if let Some((finish, ends)) = &at.finish {
        check_end(&root, finish, ends)?;
    }
    let transcript = Transcript {
        text: text(&root, at)?,
        language: at.language.as_ref().and_then(|at| at.text(&root)),
        duration: at
            .duration
            .as_ref()
            .and_then(|(at, times)| seconds(at.first(&root)?, *times)),
        words: stretches(&root, at.words.as_ref(), word),
        segments: stretches(&root, at.segments.as_ref(), segment),
    };
    if request.words && transcript.words.is_empty() && !transcript.text.trim().is_empty() {
        return Err(bad("the answer lacks the times of words that were asked for"));
    }
    Ok(transcript)
}

fn text(root: &Value, at: &TranscriptPointers) -> Result<String, BadAnswer> {
    for pointer in &at.text {
        let mut parts: Vec<&str> = Vec::new();
        pointer.visit(root, &mut |value| parts.extend(value.as_str().map(str::trim)));
        if !parts.is_empty() {
            return Ok(parts.join(" ").trim().to_owned());
        }
    }
    if at.silence.as_ref().is_some_and(|at| at.first(root).is_some()) {
        return Ok(String::new());
    }
    Err(bad("the answer holds no text"))
}

fn stretches<T>(root: &Value, at: Option<&Stretches>, make: impl Fn(Stretch) -> T) -> Vec<T> {
    let mut all = Vec::new();
    if let Some(at) = at {
        at.items
            .visit(root, &mut |item| all.extend(stretch(item, at).map(&make)));
    }
    all
}

struct Stretch {
    text: String,
    start: f64,
    end: f64,
    speaker: Option<String>,
}

fn word(
    Stretch {
        text,
        start,
        end,
        speaker,
    }: Stretch,
) -> Word {
    Word {
        text,
        start,
        end,
        speaker,
    }
}

fn segment(
    Stretch {
        text,
        start,
        end,
        speaker,
    }: Stretch,
) -> Segment {
    Segment {
        text,
        start,
        end,
        speaker,
    }
}

/// One without text or times is none.
fn stretch(item: &Value, at: &Stretches) -> Option<Stretch> {
    if let Some((only, values)) = &at.only
        && !only.text(item).is_some_and(|value| values.contains(&value))
    {
        return None;
    }
    // A start of zero is what some formats leave out.
    let start = at
        .start
        .first(item)
        .map_or(Some(0.0), |value| seconds(value, at.times))?;
    let end = match &at.end {
        StretchEnd::At(end) => seconds(end.first(item)?, at.times)?,
        StretchEnd::After(lasts) => start + seconds(lasts.first(item)?, at.times)?,
    };
    Some(Stretch {
        text: at.text.iter().find_map(|text| text.text(item))?,
        start,
        end,
        speaker: at.speaker.as_ref().and_then(|speaker| speaker.text(item)),
    })
}

/// A number in the answer's unit, or text with a unit of its own such as `1.200s`.
fn seconds(value: &Value, times: f64) -> Option<f64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()? * times,
        Value::String(text) => duration(text)?,
        _ => return None,
    };
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}
