//! One side of a WebSocket: which reader a message needs, and what it found there.

use std::ops::Range;

use super::headed::HeadReader;
use super::seconds::SecondsMeter;
use crate::descriptor::{
    BodyMatch, MessageShape, Occasion, PartBody, PartPlan, Pointer, Provider, SocketPlan,
};
use crate::meter::json::{Found, JsonScanner, Take, Want};
use crate::meter::json_sound::Sound;
use crate::meter::{SsmlScanner, TextCounter};
use crate::rules::{Judged, judge_message};

#[derive(Debug)]
pub(super) struct SideReader {
    messages: MessageShape,
    wide_characters_count_double: bool,
    head: HeadReader,
    parts: Vec<Part>,
    /// Of the message that is passing; `None`: unread, or its head is not whole.
    current: Option<usize>,
    is_known: bool,
    /// Some of it was sound.
    sounded: bool,
    pub seconds: SecondsMeter,
}

/// What one message says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub characters: u64,
    pub has_sound: bool,
    pub has_transcript: bool,
    pub model: Option<String>,
    pub voice: Option<String>,
    pub format: Option<String>,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub judged: Option<Judged>,
}

#[derive(Debug)]
struct Part {
    path: Option<String>,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Json(Box<JsonReader>),
    Ssml(Box<SsmlScanner>),
    Text(TextCounter),
    Audio,
}

impl SideReader {
    /// `judging`: the provider whose rules about messages apply here.
    pub fn new(
        plan: &SocketPlan,
        parts: &[PartPlan],
        seconds: SecondsMeter,
        judging: Option<&Provider>,
    ) -> Self {
        let rules = judging.map(places_of_rules).unwrap_or_default();
        let wide = plan.wide_characters_count_double;
        let mut parts: Vec<_> = parts.iter().map(|part| Part::new(part, &rules, wide)).collect();
        if parts.is_empty() && plan.messages == MessageShape::Json && !rules.is_empty() {
            parts.push(Part {
                path: None,
                reader: Reader::Json(Box::new(JsonReader::new(Vec::new(), Places::default(), &rules))),
            });
        }
        Self {
            messages: plan.messages,
            wide_characters_count_double: wide,
            head: HeadReader::default(),
            parts,
            current: None,
            is_known: false,
            sounded: false,
            seconds,
        }
    }

    pub fn reads(&self) -> bool {
        !self.parts.is_empty()
    }

    pub fn begin(&mut self, is_binary: bool) {
        self.sounded = false;
        self.current = None;
        match self.messages {
            MessageShape::Unread => {}
            MessageShape::Json => self.begin_part((!self.parts.is_empty()).then_some(0)),
            MessageShape::Headed => {
                self.is_known = false;
                self.head.begin(is_binary);
            }
        }
    }

    fn begin_part(&mut self, nth: Option<usize>) {
        self.current = nth;
        self.is_known = true;
        let Some(part) = nth.and_then(|nth| self.parts.get_mut(nth)) else {
            return;
        };
        let wide = self.wide_characters_count_double;
        match &mut part.reader {
            Reader::Json(json) => json.begin(),
            Reader::Ssml(ssml) => **ssml = SsmlScanner::new(wide),
            Reader::Text(text) => *text = TextCounter::new(wide),
            Reader::Audio => {
                let head = self.head.head();
                self.seconds.begin(head.request, head.content_type);
            }
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let body = match self.messages {
            MessageShape::Unread => return,
            MessageShape::Json => bytes,
            MessageShape::Headed => {
                let Some(body) = self.head.feed(bytes) else { return };
                if !self.is_known {
                    let path = self.head.head().path;
                    let fits = |part: &Part| part.path.as_ref().is_some_and(|p| p.eq_ignore_ascii_case(path));
                    let nth = self.parts.iter().position(fits);
                    self.begin_part(nth);
                }
                body
            }
        };
        let Some(part) = self.current.and_then(|nth| self.parts.get_mut(nth)) else {
            return;
        };
        match &mut part.reader {
            Reader::Json(json) => json.scanner.feed(body),
            Reader::Ssml(ssml) => ssml.feed(body),
            Reader::Text(text) => body.iter().for_each(|byte| text.push(*byte)),
            Reader::Audio => self.sounded |= self.seconds.feed(body),
        }
    }

    pub fn end(&mut self, judging: Option<&Provider>) -> Said {
        let Some(part) = self.current.take().and_then(|nth| self.parts.get_mut(nth)) else {
            return Said::default();
        };
        match &mut part.reader {
            Reader::Json(json) => {
                let (said, sound) = json.end(judging);
                self.seconds.add(&sound);
                said
            }
            Reader::Ssml(ssml) => Said {
                characters: ssml.characters(),
                voice: ssml.voice().map(str::to_owned),
                ..Said::default()
            },
            Reader::Text(text) => Said {
                characters: text.characters(),
                ..Said::default()
            },
            Reader::Audio => Said {
                has_sound: self.sounded,
                ..Said::default()
            },
        }
    }
}

impl Part {
    fn new(plan: &PartPlan, rules: &[Pointer], wide: bool) -> Self {
        let reader = match plan.body {
            PartBody::Json => Reader::Json(Box::new(JsonReader::of(plan, rules))),
            PartBody::Ssml => Reader::Ssml(Box::new(SsmlScanner::new(wide))),
            PartBody::Text => Reader::Text(TextCounter::new(wide)),
            PartBody::Audio => Reader::Audio,
        };
        Self {
            path: plan.path.clone(),
            reader,
        }
    }
}

/// Where rules about messages look.
fn places_of_rules(provider: &Provider) -> Vec<Pointer> {
    let rules = provider
        .verdicts
        .iter()
        .filter(|rule| rule.on == Occasion::Message);
    let mut places: Vec<Pointer> = Vec::new();
    for rule in rules {
        if let BodyMatch::Json { at, .. } = &rule.body {
            places.extend(at.iter().cloned());
        }
    }
    places
}

#[derive(Debug)]
struct JsonReader {
    scanner: JsonScanner,
    places: Places,
    rules: Vec<Pointer>,
}

/// Which of the scanner's findings are what.
#[derive(Clone, Debug, Default)]
struct Places {
    model: Range<usize>,
    voice: Range<usize>,
    characters: Range<usize>,
    transcript: Range<usize>,
    format: Range<usize>,
    tokens_in: Range<usize>,
    tokens_out: Range<usize>,
    audio: Range<usize>,
}

impl JsonReader {
    fn of(plan: &PartPlan, rules: &[Pointer]) -> Self {
        let mut wants = Vec::new();
        let mut add = |places: &[Pointer], take: Take| {
            let from = wants.len();
            wants.extend(places.iter().map(|at| Want { at: at.clone(), take }));
            from..wants.len()
        };
        let audio: Vec<_> = plan.audio.iter().map(|place| place.at.clone()).collect();
        let mime: Vec<_> = plan.audio.iter().flat_map(|place| place.mime.clone()).collect();
        let places = Places {
            model: add(&plan.model, Take::Text),
            voice: add(&plan.voice, Take::Text),
            characters: add(&plan.characters, Take::Spoken),
            transcript: add(&plan.transcript, Take::Spoken),
            format: add(&plan.format, Take::Text),
            tokens_in: add(&plan.tokens_in, Take::Number),
            tokens_out: add(&plan.tokens_out, Take::Number),
            audio: add(&audio, Take::Sound),
        };
        add(&mime, Take::Mime);
        Self::new(wants, places, rules)
    }

    /// What rules look at comes last.
    fn new(mut wants: Vec<Want>, places: Places, rules: &[Pointer]) -> Self {
        wants.extend(rules.iter().map(|at| Want {
            at: at.clone(),
            take: Take::Text,
        }));
        Self {
            scanner: JsonScanner::new(wants),
            places,
            rules: rules.to_vec(),
        }
    }

    fn begin(&mut self) {
        self.scanner.clear();
        self.scanner.restart();
    }

    fn end(&mut self, judging: Option<&Provider>) -> (Said, Sound) {
        let found = self.scanner.found();
        let mut sound = Sound::default();
        for one in &found[self.places.audio.clone()] {
            sound.join(&one.sound);
        }
        let said = Said {
            characters: length(&found[self.places.characters.clone()]),
            has_sound: sound != Sound::default(),
            has_transcript: length(&found[self.places.transcript.clone()]) > 0,
            model: text(&found[self.places.model.clone()]),
            voice: text(&found[self.places.voice.clone()]),
            format: text(&found[self.places.format.clone()]),
            tokens_in: whole_number(&found[self.places.tokens_in.clone()]),
            tokens_out: whole_number(&found[self.places.tokens_out.clone()]),
            judged: judging.and_then(|provider| self.judge(provider)),
        };
        (said, sound)
    }

    fn judge(&self, provider: &Provider) -> Option<Judged> {
        let found = self.scanner.found();
        let first = found.len().saturating_sub(self.rules.len());
        if found[first..].iter().all(|one| one.text.is_none()) {
            return None;
        }
        judge_message(provider, |at| {
            let nth = self.rules.iter().position(|rule| rule == at)?;
            found.get(first + nth)?.text.as_deref()
        })
    }
}

fn length(found: &[Found]) -> u64 {
    found.iter().filter_map(|one| one.length).sum()
}

fn text(found: &[Found]) -> Option<String> {
    found.iter().find_map(|one| one.text.clone())
}

fn whole_number(found: &[Found]) -> Option<u64> {
    let number = found.iter().find_map(|one| one.number)?;
    (number >= 0.0 && number.is_finite()).then_some(number as u64)
}
