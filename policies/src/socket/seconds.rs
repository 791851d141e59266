//! Seconds of sound from one side of a WebSocket.

use crate::descriptor::SoundPlan;
use crate::meter::json_sound::Sound;
use crate::meter::{Mime, WaveHead};
use crate::places;

/// A longer id of a request than this is taken for what it begins with.
const LONGEST_ID: usize = 64;

/// Bytes are counted whole and become seconds at the end, so that where pieces break makes no difference.
#[derive(Debug)]
pub(super) struct SecondsMeter {
    plan: SoundPlan,
    /// Bytes per second of the format that was asked for, and otherwise; `None`: not known.
    named: Option<f64>,
    unnamed: Option<f64>,
    /// Of the stream that is passing.
    rate: Option<f64>,
    bytes: u64,
    /// At rates that are no more.
    seconds: f64,
    unmeasured: bool,
    /// Whose stream is passing; `None`: no stream yet.
    request: Option<Vec<u8>>,
    head: WaveHead,
}

impl SecondsMeter {
    pub fn new(plan: &SoundPlan, query: Option<&str>) -> Self {
        let named = plan.query.as_deref().and_then(|name| parameter(query, name));
        let format = named.as_deref().or(plan.default_format.as_deref());
        let samples = plan.samples_per_second.map(|rate| f64::from(rate) * 2.0);
        let named = format.and_then(|format| plan.formats.get(format).copied());
        let unnamed = samples.filter(|_| format.is_none());
        Self {
            plan: plan.clone(),
            named,
            unnamed,
            rate: named.or(unnamed),
            bytes: 0,
            seconds: 0.0,
            unmeasured: false,
            request: None,
            head: WaveHead::new(),
        }
    }

    /// The format is named on the way.
    pub fn choose(&mut self, format: &str) {
        self.named = self.plan.formats.get(format).copied();
        self.unnamed = None;
    }

    /// Sound of which the MIME type, if any, was read with it.
    pub fn add(&mut self, sound: &Sound) {
        self.turn_to(self.named.or(self.unnamed));
        self.bytes = self.bytes.saturating_add(sound.bytes);
        self.seconds += sound.seconds;
        self.unmeasured |= sound.unmeasured;
    }

    /// A message of bare sound begins. Those of one request are one stream, which may begin with a head.
    pub fn begin(&mut self, request: &str, content_type: &str) {
        let request = &request.as_bytes()[..request.len().min(LONGEST_ID)];
        let mime = (!content_type.is_empty()).then(|| Mime::parse(content_type));
        if self.request.as_deref() == Some(request) {
            // Some say so in every message, some only where another head follows.
            if matches!(mime, Some(Mime::Wave(_))) {
                self.head = WaveHead::new();
            }
            return;
        }
        self.request = Some(request.to_owned());
        self.head = WaveHead::new();
        let said = match mime {
            Some(Mime::Samples(rate) | Mime::Wave(rate)) => rate.or(self.unnamed),
            Some(Mime::Compressed) => None,
            Some(Mime::Silent) | None => self.unnamed,
        };
        self.turn_to(self.named.or(said));
    }

    /// A piece of bare sound; whether some of it was more than a head.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let was_head = self.head.wave().is_none();
        let heard = self.head.feed(bytes);
        if let Some(rate) = self.head.wave().filter(|_| was_head) {
            self.turn_to(rate);
        }
        self.bytes = self.bytes.saturating_add(heard);
        heard > 0
    }

    /// `None`: some of it has no rate that is known.
    pub fn seconds(&self) -> Option<f64> {
        let now = match self.rate {
            Some(rate) => self.bytes as f64 / rate,
            None if self.bytes == 0 => 0.0,
            None => return None,
        };
        (!self.unmeasured).then_some(self.seconds + now)
    }

    fn turn_to(&mut self, rate: Option<f64>) {
        if self.rate == rate {
            return;
        }
        match self.seconds() {
            Some(seconds) => self.seconds = seconds,
            None => self.unmeasured = true,
        }
        self.bytes = 0;
        self.rate = rate;
    }
}

/// The value of a query parameter.
pub(super) fn parameter<'q>(query: Option<&'q str>, wanted: &str) -> Option<std::borrow::Cow<'q, str>> {
    let mut parameters = places::parameters(query.unwrap_or_default());
    parameters
        .find(|(name, _)| places::decoded(name) == wanted)
        .map(|(_, value)| places::decoded(value))
        .filter(|value| !value.is_empty())
}
