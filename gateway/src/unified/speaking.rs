//! A speech on its way down: its head with the first audio, then each piece as soon as it is there.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use policies::meter::Reading;
use policies::rewrite::error_body;
use policies::unified::{Delivery, speech_delta, speech_done};
use policies::vocabulary::{AudioFormat, Dialect, Refusal};

use super::Unified;
use crate::stages::Fault;

const EVENTS: &str = "text/event-stream";

pub struct Speaking {
    format: AudioFormat,
    delivery: Delivery,
    /// How many bytes the whole audio has, where that is known before the first.
    pub length: Option<u64>,
    pub begun: bool,
}

impl Speaking {
    pub fn new(format: AudioFormat, delivery: Delivery) -> Self {
        Self {
            format,
            delivery,
            length: None,
            begun: false,
        }
    }

    fn shaped(&self, audio: Bytes) -> Bytes {
        match self.delivery {
            Delivery::Audio => audio,
            Delivery::Events => speech_delta(&audio).into(),
        }
    }
}

impl Unified<'_> {
    /// Writes what there is of the audio, the head before it.
    pub(super) async fn utter(&mut self, speaking: &mut Speaking, audio: Bytes) -> Result<(), Fault> {
        if audio.is_empty() {
            return Ok(());
        }
        if !speaking.begun {
            let mut headers = HeaderMap::with_capacity(8);
            let content_type = match speaking.delivery {
                Delivery::Audio => speaking.format.content_type(),
                Delivery::Events => EVENTS,
            };
            if let (Some(length), Delivery::Audio) = (speaking.length, speaking.delivery) {
                headers.insert(http::header::CONTENT_LENGTH, length.into());
            }
            speaking.begun = true;
            self.write_head(content_type, headers).await?;
        }
        self.write(speaking.shaped(audio), false).await
    }

    /// The last of the audio, and the end.
    pub(super) async fn end_speech(
        &mut self,
        speaking: &mut Speaking,
        audio: Bytes,
        reading: &Reading,
    ) -> Result<(), Fault> {
        self.utter(speaking, audio).await?;
        if !speaking.begun {
            return Err(Fault::Garbled("the answers hold no audio".into()));
        }
        let last = match speaking.delivery {
            Delivery::Audio => Bytes::new(),
            Delivery::Events => speech_done(reading).into(),
        };
        self.write(last, true).await
    }

    /// What went wrong after the head. Audio just breaks off; events can say it before they do.
    pub(super) async fn break_off(&mut self, speaking: &Speaking, refusal: &Refusal) {
        if speaking.delivery == Delivery::Audio {
            return;
        }
        let (_, body) = error_body(
            Dialect::OpenAi,
            refusal.code,
            &refusal.message,
            refusal.param.as_deref(),
            None,
        );
        let mut event = BytesMut::with_capacity(body.len() + 40);
        event.extend_from_slice(br#"data: {"type":"error","#);
        // The body is an object with one member, which goes on here.
        event.extend_from_slice(body.trim_start_matches('{').as_bytes());
        event.extend_from_slice(b"\n\n");
        // The caller may be gone as well; the answer breaks off either way.
        self.write(event.freeze(), false).await.ok();
    }
}
