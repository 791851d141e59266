//! A caller's form up to its file, and what becomes of the file: it goes up as it comes, or it is spooled.

use audio::Excerpt;
use bytes::{Bytes, BytesMut};
use pingora::protocols::http::ServerSession;
use policies::descriptor::{Provider, Providers};
use policies::unified::{AudioFile, Candidate, TranscriptionPlan, TranscriptionRequest, candidates};
use policies::vocabulary::{Code, Refusal, Task};
use tokio::time::Instant;

use super::Request;
use super::attempts::Unanswered;
use super::form::{FilePart, Form};
use super::selection::selection_for;
use super::spool::NotKept;
use super::streaming::{Streaming, Uploaded, stream_up};
use super::transcription::{Upload, file_too_large};

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
    async fn transcribers(&self, task: Task, model: &str) -> Result<Vec<Candidate>, Refusal> {
        let gateway = self.gateway;
        let (vault, app) = (&gateway.vault, &gateway.app);
        let selection = selection_for(&self.caller, task.operation(), vault, app).await?;
        candidates(task, model, None, selection.as_deref(), &gateway.providers)
    }
}

async fn spool(
    request: &Request<'_>,
    incoming: Incoming<'_>,
    known: &[Candidate],
) -> Result<Upload, Unanswered> {
    let Incoming {
        task,
        mut form,
        mut file,
        first,
        said,
        mut excerpt,
    } = incoming;
    let limit = most_taken(task, known, &said, &request.gateway.providers);
    let mut spool = request.gateway.limits.spools.begin();
    let mut next = Some(first);
    while let Some(chunk) = next {
        spool.write(&chunk).await.map_err(not_kept)?;
        if let Some((most, provider)) = limit
            && spool.length() > most
        {
            return Err(file_too_large(most, provider).into());
        }
        next = file.chunk().await?;
        if let Some(chunk) = &next {
            excerpt.feed(chunk);
        }
    }
    drop(file);
    while form.next_file().await?.is_some() {}
    let asked = TranscriptionRequest::parse(task, &form.fields)?;
    let found = request.transcribers(task, &asked.model).await?;
    let plans = plans(&found, &asked, &said, spool.length())?;
    Ok(Upload {
        request: asked,
        plans,
        spool,
        excerpt,
    })
}

/// The most that any of these takes, or any provider where none is known yet, and who that is.
fn most_taken<'c>(
    task: Task,
    known: &'c [Candidate],
    said: &AudioFile,
    providers: &'c Providers,
) -> Option<(u64, &'c Provider)> {
    let planned = |candidate: &'c Candidate| {
        let plan = TranscriptionPlan::new(task, candidate, said).ok()?;
        Some((plan.max_audio_bytes(), &*candidate.provider))
    };
    let of_known = known.iter().filter_map(planned).max_by_key(|(most, _)| *most);
    let of_all = || {
        let all = providers.iter().filter_map(|provider| {
            let source = provider.transcription.as_ref()?;
            Some((source.max_bytes, &**provider))
        });
        all.max_by_key(|(most, _)| *most)
    };
    of_known.or_else(of_all)
}

/// The first candidate has to be able to do what is asked; one after it that cannot is passed over. So is any that does
/// not take so large a file, as long as another does.
fn plans(
    found: &[Candidate],
    asked: &TranscriptionRequest,
    said: &AudioFile,
    length: u64,
) -> Result<Vec<TranscriptionPlan>, Refusal> {
    let mut plans: Vec<TranscriptionPlan> = Vec::with_capacity(found.len());
    for candidate in found {
        let planned = TranscriptionPlan::new(asked.task, candidate, said)
            .and_then(|plan| plan.check(asked).map(|()| plan));
        match planned {
            Ok(plan) => plans.push(plan),
            Err(refusal) if plans.is_empty() => return Err(refusal),
            Err(_) => {}
        }
    }
    let most = plans.iter().max_by_key(|plan| plan.max_audio_bytes());
    if let Some(plan) = most
        && plan.max_audio_bytes() < length
    {
        return Err(file_too_large(plan.max_audio_bytes(), &plan.candidate().provider));
    }
    plans.retain(|plan| plan.max_audio_bytes() >= length);
    Ok(plans)
}

fn not_kept(error: NotKept) -> Unanswered {
    let cause = policies::with_causes(&error);
    match error {
        NotKept::Full(_) => tracing::warn!(error = cause, "an upload finds no room in the spool folder"),
        NotKept::Unwritten(_) => {
            tracing::error!(error = cause, "an upload cannot be kept in the spool folder")
        }
    }
    Refusal::new(Code::Overloaded, "the file cannot be kept at the moment")
        .because(cause)
        .retry_after(10)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_begins_as_then_what_its_sender_says_then_what_its_name_says() {
        let webm: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3, 0x9f];
        let cases: [(&[u8], Option<&str>, Option<&str>, Option<&str>); 9] = [
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
