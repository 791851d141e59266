//! What a WebSocket consumes, read from its messages as they pass.

use crate::meter::Reading;
use crate::rules::{Judged, Route};

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
pub struct SocketMeter;

impl SocketMeter {
    /// `query` is what goes upstream.
    pub fn start(_route: &Route, _query: Option<&str>) -> Self {
        todo!()
    }

    /// Whether messages of this side are read at all; where not, none of the following need be called for it.
    pub fn reads(&self, _side: Side) -> bool {
        todo!()
    }

    /// The model that was decided elsewhere, over what is read.
    pub fn decided(&mut self, _model: &str) {
        todo!()
    }

    pub fn begin(&mut self, _side: Side, _binary: bool) {
        todo!()
    }

    pub fn payload(&mut self, _side: Side, _bytes: &[u8]) {
        todo!()
    }

    pub fn end(&mut self, _side: Side) -> Heard {
        todo!()
    }

    pub fn reading(&self) -> SocketReading {
        todo!()
    }
}
