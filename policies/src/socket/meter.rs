//! What a WebSocket consumes, read from its messages as they pass.

use std::sync::Arc;

use super::parts::{Said, SideReader};
use super::seconds::{SecondsMeter, parameter};
use crate::descriptor::{Provider, SocketPlan};
use crate::meter::{Reading, recordable};
use crate::rules::{Judged, Route};
use crate::vocabulary::Operation;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Provider,
}

/// What a message that has ended turned out to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// From the caller: it gave something to speak, or to listen to.
    pub asks: bool,
    /// From the provider: a part of what was asked for, audio or transcript.
    pub answers: bool,
    /// From the provider: what it says about the key.
    pub judged: Option<Judged>,
}

/// What was consumed, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SocketReading {
    /// As of any call; its seconds of audio are those that count for the endpoint's operation.
    pub call: Reading,
    /// Seconds of audio from the caller, and from the provider.
    pub audio_in: Option<f64>,
    pub audio_out: Option<f64>,
}

/// One per connection, fed with the unmasked payload of every data message in pieces of any size.
#[derive(Debug)]
pub struct SocketMeter {
    provider: Arc<Provider>,
    plan: Arc<SocketPlan>,
    operation: Operation,
    caller: SideReader,
    answers: SideReader,
    models: Models,
    characters: u64,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
}

/// What may name the model, the surest first.
#[derive(Debug, Default)]
struct Models {
    decided: Option<String>,
    in_address: Option<String>,
    in_messages: Option<String>,
    by_voice: Option<String>,
}

impl SocketMeter {
    /// `query` is what goes upstream.
    pub fn start(route: &Route, query: Option<&str>) -> Self {
        let endpoint = route.endpoint();
        let plan = endpoint.socket.clone();
        let in_query = plan
            .model_query
            .as_deref()
            .and_then(|name| parameter(query, name));
        let seconds_in = SecondsMeter::new(&plan.audio_in, query);
        let seconds_out = SecondsMeter::new(&plan.audio_out, query);
        Self {
            caller: SideReader::new(&plan, &plan.caller, seconds_in, None),
            answers: SideReader::new(&plan, &plan.provider, seconds_out, Some(&route.provider)),
            models: Models {
                in_address: route
                    .model_from_path
                    .clone()
                    .or_else(|| in_query.map(|model| model.into_owned())),
                ..Models::default()
            },
            operation: endpoint.operation,
            provider: route.provider.clone(),
            plan,
            characters: 0,
            tokens_in: None,
            tokens_out: None,
        }
    }

    /// Whether messages of this side are read at all; where not, none of the following need be called for it.
    pub fn reads(&self, side: Side) -> bool {
        match side {
            Side::Caller => self.caller.reads(),
            Side::Provider => self.answers.reads(),
        }
    }

    /// The model that was decided elsewhere, over what is read.
    pub fn decided(&mut self, model: &str) {
        self.models.decided = Some(model.to_owned());
    }

    pub fn begin(&mut self, side: Side, binary: bool) {
        self.side(side).begin(binary);
    }

    pub fn payload(&mut self, side: Side, bytes: &[u8]) {
        self.side(side).feed(bytes);
    }

    pub fn end(&mut self, side: Side) -> Heard {
        match side {
            Side::Caller => {
                let said = self.caller.end(None);
                let asks = said.characters > 0 || said.has_sound;
                self.characters = self.characters.saturating_add(said.characters);
                if let Some(format) = &said.format {
                    self.answers.seconds.choose(format);
                }
                self.note(said);
                Heard {
                    asks,
                    ..Heard::default()
                }
            }
            Side::Provider => {
                let said = self.answers.end(Some(&self.provider));
                let heard = Heard {
                    asks: false,
                    answers: said.has_sound || said.has_transcript,
                    judged: said.judged.clone(),
                };
                self.note(said);
                heard
            }
        }
    }

    fn note(&mut self, said: Said) {
        let add = |sum: &mut Option<u64>, more: Option<u64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or_default().saturating_add(more));
            }
        };
        add(&mut self.tokens_in, said.tokens_in);
        add(&mut self.tokens_out, said.tokens_out);
        if said.model.is_some() {
            self.models.in_messages = said.model;
        }
        if let Some(voice) = said.voice {
            let rules = &self.plan.model_by_voice;
            let rule = rules.iter().find(|(glob, _)| glob.matches(&voice));
            self.models.by_voice = rule.map(|(_, model)| model.clone());
        }
    }

    pub fn reading(&self) -> SocketReading {
        let audio_in = self.seconds(Side::Caller);
        let audio_out = self.seconds(Side::Provider);
        let models = &self.models;
        let model = models
            .decided
            .as_deref()
            .or(models.in_address.as_deref())
            .or(models.in_messages.as_deref())
            .or(models.by_voice.as_deref())
            .or(self.plan.model_default.as_deref());
        SocketReading {
            call: Reading {
                model: model.and_then(recordable),
                characters: self.plan.counts_characters().then_some(self.characters),
                audio_seconds: match self.operation {
                    Operation::Tts => audio_out,
                    Operation::Stt => audio_in,
                    Operation::Lookup => None,
                },
                tokens_in: self.tokens_in,
                tokens_out: self.tokens_out,
                provider_request_id: None,
            },
            audio_in,
            audio_out,
        }
    }

    fn seconds(&self, side: Side) -> Option<f64> {
        let (parts, reader) = match side {
            Side::Caller => (&self.plan.caller, &self.caller),
            Side::Provider => (&self.plan.provider, &self.answers),
        };
        let sounds = parts.iter().any(|part| part.has_sound());
        sounds.then(|| reader.seconds.seconds()).flatten()
    }

    fn side(&mut self, side: Side) -> &mut SideReader {
        match side {
            Side::Caller => &mut self.caller,
            Side::Provider => &mut self.answers,
        }
    }
}
