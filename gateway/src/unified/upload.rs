//! A caller's form up to its file, and what becomes of the file: it goes up as it comes, or it is spooled.

use audio::Excerpt;
use bytes::{Bytes, BytesMut};
use pingora::protocols::http::ServerSession;
use policies::unified::{AudioFile, Candidate, TranscriptionPlan, TranscriptionRequest, candidates};
use policies::vocabulary::{Code, Refusal, Task};
use tokio::time::Instant;

use super::Request;
use super::attempts::Unanswered;
use super::form::{FilePart, Form};
use super::keeping::spool;
use super::selection::selection_for;
use super::streaming::{Streaming, Uploaded, stream_up};
use super::transcription::Upload;

const OPAQUE: &str = "application/octet-stream";

/// How a file has arrived.
pub enum Arrival<'p> {
    Spooled(Box<Upload>),
    /// It went up as it came.
    UnderWay(Box<Uploaded<'p>>),
}

/// A form of which all before the file has been read, and the file's beginning.
pub struct Incoming<'s> {
    pub task: Task,
    pub form: Form<'s>,
    pub file: FilePart<'s>,
    pub first: Bytes,
    pub said: AudioFile,
    pub excerpt: Excerpt,
}

pub async fn receive<'a: 'p, 'p>(
    request: &mut Request<'a>,
    session: &mut ServerSession,
    task: Task,
    streaming: &'p mut Option<Streaming>,
) -> Result<Arrival<'p>, Unanswered> {
    let began = Instant::now();
    let mut incoming = begin(request, session, task).await?;
    let known = match incoming.form.field("model") {
        Some(model) => request.transcribers(task, model).await?,
        None => Vec::new(),
    };
    if let [candidate] = known.as_slice()
        && let Some(plan) = incoming.plan_streaming(candidate).await?
    {
        request.waited = began.elapsed();
        let uploaded = stream_up(request, incoming, plan, streaming).await?;
        return Ok(Arrival::UnderWay(Box::new(uploaded)));
    }
    let upload = spool(request, incoming, &known).await?;
    request.waited = began.elapsed();
    Ok(Arrival::Spooled(Box::new(upload)))
}

async fn begin<'s>(
    request: &Request<'_>,
    session: &'s mut ServerSession,
    task: Task,
) -> Result<Incoming<'s>, Unanswered> {
    let mut form = Form::new(session, request.gateway.limits.max_body_bytes)?;
    let refused = |message: &'static str| Refusal::new(Code::InvalidRequest, message).at("file");
    let Some(mut file) = form.next_file().await? else {
        return Err(refused("send the audio as the form's file").into());
    };
    let first = beginning(&mut file).await?;
    if first.is_empty() {
        return Err(refused("the file is empty").into());
    }
    let mut excerpt = Excerpt::default();
    excerpt.feed(&first);
    let said = with_type(file.said.clone(), &first);
    Ok(Incoming {
        task,
        form,
        file,
        first,
        said,
        excerpt,
    })
}

impl Incoming<'_> {
    /// The call in which the file can go up as it comes. One that is here already is spooled, so that it can be sent
    /// again. So is one whose fields so far are not fit for a call: those behind the file may complete them, and if
    /// not, a mistake of the caller's costs no call.
    async fn plan_streaming(
        &mut self,
        candidate: &Candidate,
    ) -> Result<Option<TranscriptionPlan>, Unanswered> {
        let plan = TranscriptionPlan::new(self.task, candidate, &self.said)?;
        if !plan.may_stream() || self.file.has_ended().await? {
            return Ok(None);
        }
        let asked = TranscriptionRequest::parse(self.task, &self.form.fields);
        let is_fit = asked.and_then(|asked| plan.check(&asked)).is_ok();
        Ok(is_fit.then_some(plan))
    }
}

/// Enough of a file to tell what it is, or all of it.
async fn beginning(file: &mut FilePart<'_>) -> Result<Bytes, Unanswered> {
    let mut beginning = BytesMut::new();
    while beginning.len() < audio::ENOUGH {
        match file.chunk().await? {
            Some(chunk) if beginning.is_empty() && chunk.len() >= audio::ENOUGH => return Ok(chunk),
            Some(chunk) => beginning.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(beginning.freeze())
}

/// What a file is: by how it begins, else as its sender says, else by its name. Senders say `audio/x-wav`,
/// `video/webm` and `audio/webm;codecs=opus`, not all of which every provider takes.
fn with_type(said: AudioFile, beginning: &[u8]) -> AudioFile {
    let recognised = audio::recognise(beginning).map(|container| container.content_type().to_owned());
    let by_sender = || {
        let essence = said.content_type.as_deref()?.split(';').next()?.trim();
        let says_nothing = essence.is_empty() || essence.eq_ignore_ascii_case(OPAQUE);
        (!says_nothing).then(|| essence.to_ascii_lowercase())
    };
    let by_name = || said.name.as_deref().and_then(type_by_name).map(str::to_owned);
    let content_type = recognised.or_else(by_sender).or_else(by_name);
    AudioFile { content_type, ..said }
}

fn type_by_name(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "mp3" | "mpga" | "mpeg" => "audio/mpeg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "m4a" | "mp4" => "audio/mp4",
        "aac" => "audio/aac",
        "webm" => "audio/webm",
        _ => return None,
    })
}

impl Request<'_> {
    pub(super) async fn transcribers(&self, task: Task, model: &str) -> Result<Vec<Candidate>, Refusal> {
        let gateway = self.gateway;
        let (vault, app) = (&gateway.vault, &gateway.app);
        let selection = selection_for(&self.caller, task.operation(), vault, app).await?;
        candidates(task, model, None, selection.as_deref(), &gateway.providers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_begins_as_then_what_its_sender_says_then_what_its_name_says() {
        let webm: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3, 0x9f];
        type Case<'c> = (&'c [u8], Option<&'c str>, Option<&'c str>, Option<&'c str>);
        let cases: [Case<'_>; 9] = [
            (
                b"RIFF\0\0\0\0WAVEfmt ",
                Some("audio/x-wav"),
                None,
                Some("audio/wav"),
            ),
            (webm, Some("video/webm"), None, Some("audio/webm")),
            (webm, Some("audio/webm;codecs=opus"), None, Some("audio/webm")),
            (b"\0\0\0\x1cftypisom", Some("video/mp4"), None, Some("audio/mp4")),
            (
                b"????",
                Some("audio/AMR; rate=8000"),
                Some("a.wav"),
                Some("audio/amr"),
            ),
            (b"????", Some(OPAQUE), Some("a.MP3"), Some("audio/mpeg")),
            (b"????", None, Some("a.flac"), Some("audio/flac")),
            (b"????", Some(" ; x=y"), Some("a.doc"), None),
            (b"????", None, None, None),
        ];
        for (beginning, content_type, name, expected) in cases {
            let said = AudioFile {
                name: name.map(str::to_owned),
                content_type: content_type.map(str::to_owned),
            };
            let found = with_type(said, beginning).content_type;
            assert_eq!(found.as_deref(), expected, "{content_type:?} {name:?}");
        }
    }
}
