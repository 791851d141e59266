//! What a provider has heard → what its caller reads.

use bytes::Bytes;
use policies::unified::{
    Candidate, Rendered, TranscriptionRequest, read_transcript, render, transcript_events,
};
use tokio::task::spawn_blocking;

use crate::stages::Fault;

/// Longer answers take too long to read and write between two events of other calls.
const AT_ONCE: usize = 256 * 1024;

pub struct Written {
    /// Of the audio, in seconds.
    pub duration: Option<f64>,
    pub text: Text,
}

pub enum Text {
    Whole(Rendered),
    Events(Vec<String>),
}

/// `measured`: how long the audio lasts, where the provider does not say.
pub async fn written(
    candidate: &Candidate,
    request: &TranscriptionRequest,
    answer: Bytes,
    measured: Option<f64>,
) -> Result<Written, Fault> {
    if answer.len() <= AT_ONCE {
        return write(candidate, request, &answer, measured);
    }
    let (candidate, request) = (candidate.clone(), request.clone());
    let writing = spawn_blocking(move || write(&candidate, &request, &answer, measured));
    writing
        .await
        .unwrap_or_else(|stopped| Err(Fault::Internal(format!("reading a transcript: {stopped}"))))
}

fn write(
    candidate: &Candidate,
    request: &TranscriptionRequest,
    answer: &[u8],
    measured: Option<f64>,
) -> Result<Written, Fault> {
    let read = read_transcript(candidate, request, answer);
    let mut transcript = read.map_err(|bad| Fault::Garbled(bad.to_string()))?;
    transcript.duration = transcript.duration.or(measured);
    let text = match request.stream {
        true => Text::Events(transcript_events(&transcript, request)),
        false => Text::Whole(render(&transcript, request)),
    };
    Ok(Written {
        duration: transcript.duration,
        text,
    })
}
