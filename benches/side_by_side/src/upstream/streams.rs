//! Audio that comes in pieces: MP3 as it is, or samples in events.
//!
//! The voice, for Gemini the model, says how: `at-once` in one write, `held` open for ten seconds, `held-long` in pieces
//! five times as long, else 20 pieces 20 ms apart.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

/// The last chunk of a chunked body.
const END: &[u8] = b"0\r\n\r\n";
const RATE: f64 = 24_000.0;

/// An answer in the pieces in which it is written, the head in the first and the end in the last.
pub struct Stream {
    pub pieces: Vec<Vec<u8>>,
    pub every: Duration,
}

/// One provider's streams.
pub struct Streams {
    at_once: Stream,
    paced: Stream,
    held: Stream,
    held_long: Stream,
}

impl Streams {
    /// At 128 kbit/s.
    pub fn mp3() -> Self {
        Self {
            at_once: Stream::of("audio/mpeg", split(&frames(8 * 4096), 4096), 0).in_one_piece(),
            paced: Stream::of("audio/mpeg", split(&frames(20 * 640), 640), 20),
            held: Stream::of("audio/mpeg", split(&frames(10 * 1600), 1600), 1000),
            held_long: Stream::of("audio/mpeg", split(&frames(4 * 8000), 8000), 2500),
        }
    }

    /// Signed 16-bit samples at 24 kHz, in base64. The bytes of a piece are those of its samples.
    pub fn events() -> Self {
        Self {
            at_once: Stream::of("text/event-stream", events(8 * 4096, 4096), 0).in_one_piece(),
            paced: Stream::of("text/event-stream", events(20 * 960, 960), 20),
            held: Stream::of("text/event-stream", events(10 * 4800, 4800), 1000),
            held_long: Stream::of("text/event-stream", events(4 * 24_000, 24_000), 2500),
        }
    }

    pub fn asked_by(&self, path: &[u8]) -> &Stream {
        let says = |word: &str| memmem::find(path, word.as_bytes()).is_some();
        if says("at-once") {
            &self.at_once
        } else if says("held-long") {
            &self.held_long
        } else if says("held") {
            &self.held
        } else {
            &self.paced
        }
    }
}

impl Stream {
    fn of(content_type: &str, payloads: Vec<Vec<u8>>, every_ms: u64) -> Self {
        let head =
            format!("HTTP/1.1 200 -\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut pieces: Vec<Vec<u8>> = payloads.iter().map(|payload| chunk(payload)).collect();
        pieces[0].splice(0..0, head.into_bytes());
        if let Some(last) = pieces.last_mut() {
            last.extend_from_slice(END);
        }
        Self {
            pieces,
            every: Duration::from_millis(every_ms),
        }
    }

    fn in_one_piece(self) -> Self {
        Self {
            pieces: vec![self.pieces.concat()],
            ..self
        }
    }
}

fn chunk(payload: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
}

fn split(audio: &[u8], bytes: usize) -> Vec<Vec<u8>> {
    audio.chunks(bytes).map(<[u8]>::to_vec).collect()
}

fn events(length: usize, bytes: usize) -> Vec<Vec<u8>> {
    let pieces = split(&samples(length), bytes);
    let last = pieces.len() - 1;
    let number_and_piece = pieces.iter().enumerate();
    number_and_piece
        .map(|(number, piece)| event(piece, number == last).into_bytes())
        .collect()
}

fn event(samples: &[u8], is_last: bool) -> String {
    let finish = if is_last { r#","finishReason":"STOP""# } else { "" };
    let audio = STANDARD.encode(samples);
    format!(
        concat!(
            r#"data: {{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"audio/L16;codec=pcm;rate=24000","#,
            r#""data":"{audio}"}}}}],"role":"model"}}{finish},"index":0}}],"usageMetadata":{{"promptTokenCount":31,"#,
            r#""candidatesTokenCount":17,"totalTokenCount":48}},"modelVersion":"gemini-3.8-flash-tts","#,
            r#""responseId":"bench"}}"#,
            "\r\n\r\n"
        ),
        audio = audio,
        finish = finish,
    )
}

/// Two tones, so that an encoder has work.
fn samples(bytes: usize) -> Vec<u8> {
    let sample = |n: usize| {
        let time = n as f64 / RATE;
        (((time * 1_400.0).sin() + (time * 5_300.0).sin() / 2.0) * 9_000.0) as i16
    };
    (0..bytes / 2).map(sample).flat_map(i16::to_le_bytes).collect()
}

/// Silent MP3 at 128 kbit/s and 44.1 kHz, so that whatever reads audio headers finds real ones.
pub fn frames(bytes: usize) -> Vec<u8> {
    const FRAME: usize = 417;
    let frame = [&[0xff, 0xfb, 0x90, 0x00][..], &[0; FRAME - 4]].concat();
    frame.iter().copied().cycle().take(bytes).collect()
}
