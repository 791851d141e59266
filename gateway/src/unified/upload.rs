//! A caller's file on its way up: into the call to the one provider that may serve it, or into the spool.

use audio::Excerpt;
use bytes::{Bytes, BytesMut};
use pingora::protocols::http::ServerSession;
use policies::unified::{AudioFile, Candidate, TranscriptionPlan, TranscriptionRequest, candidates};
use policies::vocabulary::{Code, Refusal, Task};
use tokio::time::Instant;

use super::Request;
use super::attempts::Unanswered;
use super::exchange::send_head;
use super::form::{FilePart, Form};
use super::judging::Trouble;
use super::selection::selection_for;
use super::speech::untranslated;
use super::spool::{Encode, Spool};
use super::transcription::{Upload, file_too_large, new_boundary};
use crate::stages::Fault;
use crate::stages::admit::Permit;
use crate::stages::prepare::Body;
use crate::stages::record::Attempt;
use crate::stages::upstream::{Event, Upstream, fault_of};

/// How a file has arrived.
pub enum Arrival<'p> {
    Spooled(Box<Upload>),
    /// It went up as it came.
    UnderWay(Box<Uploaded<'p>>),
}

/// The call that a file goes up in.
pub struct Streaming {
    pub plan: TranscriptionPlan,
    pub permit: Permit,
}

pub struct Uploaded<'p> {
    pub streaming: &'p Streaming,
    pub attempt: Attempt<'p>,
    /// Without a request where the provider did not take all of the file.
    pub sent: Result<(Upstream, Option<TranscriptionRequest>), Trouble>,
    pub excerpt: Excerpt,
}

/// A form of which all before the file has been read, and the file's beginning.
struct Incoming<'s> {
    task: Task,
    form: Form<'s>,
    file: FilePart<'s>,
    first: Bytes,
    said: AudioFile,
    excerpt: Excerpt,
}

pub async fn receive<'a: 'p, 'p>(
    request: &mut Request<'a>,
    session: &mut ServerSession,
    task: Task,
    streaming: &'p mut Option<Streaming>,
) -> Result<Arrival<'p>, Unanswered> {
    let began = Instant::now();
    let incoming = begin(request, session, task).await?;
    let known = match incoming.form.field("model") {
        Some(model) => request.transcribers(task, model).await?,
        None => Vec::new(),
    };
    if let [candidate] = known.as_slice() {
        let plan = TranscriptionPlan::new(task, candidate, &incoming.said)?;
        if plan.may_stream() {
            request.waited = began.elapsed();
            let uploaded = stream_up(request, incoming, plan, streaming).await?;
            return Ok(Arrival::UnderWay(Box::new(uploaded)));
        }
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

/// What a file is, where its sender does not say so: by how it begins, else by its name.
fn with_type(mut said: AudioFile, beginning: &[u8]) -> AudioFile {
    let says_nothing = |kind: &str| kind.eq_ignore_ascii_case("application/octet-stream");
    if said.content_type.as_deref().is_none_or(says_nothing) {
        let recognised = audio::recognise(beginning).map(|container| container.content_type());
        let by_name = || said.name.as_deref().and_then(type_by_name);
        said.content_type = recognised.or_else(by_name).map(str::to_owned);
    }
    said
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
    let limit = most_taken(task, known, &said);
    let mut spool = Spool::new(request.gateway.limits.spool_folder.clone());
    let mut next = Some(first);
    while let Some(chunk) = next {
        spool.write(&chunk).await.map_err(not_kept)?;
        if let Some((most, candidate)) = limit
            && spool.length() > most
        {
            return Err(file_too_large(most, &candidate.provider).into());
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

/// The most that any of these takes, and which one that is.
fn most_taken<'c>(task: Task, known: &'c [Candidate], said: &AudioFile) -> Option<(u64, &'c Candidate)> {
    let most = |candidate: &'c Candidate| {
        let plan = TranscriptionPlan::new(task, candidate, said).ok()?;
        Some((plan.max_audio_bytes(), candidate))
    };
    known.iter().filter_map(most).max_by_key(|(most, _)| *most)
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

fn not_kept(error: std::io::Error) -> Unanswered {
    let error = policies::with_causes(&error);
    tracing::error!(error, "an upload cannot be kept in the spool folder");
    Refusal::new(Code::Overloaded, "the file cannot be kept at the moment")
        .because(error)
        .retry_after(10)
        .into()
}

async fn stream_up<'a: 'p, 'p>(
    request: &mut Request<'a>,
    incoming: Incoming<'_>,
    plan: TranscriptionPlan,
    streaming: &'p mut Option<Streaming>,
) -> Result<Uploaded<'p>, Unanswered> {
    let boundary = new_boundary();
    let head = plan.head(None, &boundary).map_err(untranslated)?;
    let permit = request.permit(plan.candidate(), &head, true).await?;
    let streaming: &'p Streaming = streaming.insert(Streaming { plan, permit });
    let (plan, permit) = (&streaming.plan, &streaming.permit);
    let mut attempt = request.record(permit, plan.candidate(), &head.headers, true);
    let opening = open(request, permit, &mut attempt).await;
    let (sent, excerpt) = match opening {
        Err(fault) => (Err(fault.into()), incoming.excerpt),
        Ok(mut upstream) => {
            let headers = &head.headers;
            let begun = send_head(permit, &mut attempt, &head, headers, Body::Open, &mut upstream).await;
            let mut sending = Sending {
                plan,
                boundary,
                upstream: &mut upstream,
                attempt: &mut attempt,
                encode: Encode::new(plan.encoding()),
            };
            let (sent, excerpt) = match begun {
                Ok(()) => sending.send_form(incoming).await,
                Err(fault) => (Err(fault), incoming.excerpt),
            };
            match sent {
                Ok(asked) => (Ok((upstream, asked)), excerpt),
                Err(fault) => {
                    upstream.abort().await;
                    request.note_fault_midway(permit, &fault);
                    (Err(fault.into()), excerpt)
                }
            }
        }
    };
    Ok(Uploaded {
        streaming,
        attempt,
        sent,
        excerpt,
    })
}

async fn open(request: &Request<'_>, permit: &Permit, attempt: &mut Attempt<'_>) -> Result<Upstream, Fault> {
    let began = Instant::now();
    let grant = &permit.grant;
    let (addresses, timeouts) = (&request.gateway.addresses, grant.provider().timeouts);
    let opened = Upstream::open(request.connector, addresses, grant.origin(), timeouts).await;
    attempt.connected(began.elapsed());
    opened.inspect_err(|fault| request.note_fault(permit, fault))
}

/// A form of the provider's that is filled while the caller's is read.
struct Sending<'u, 'p> {
    plan: &'u TranscriptionPlan,
    boundary: String,
    upstream: &'u mut Upstream,
    attempt: &'u mut Attempt<'p>,
    encode: Encode,
}

impl Sending<'_, '_> {
    /// What the caller asked for, once all of it is on its way; `None` where the provider did not take it all.
    async fn send_form(
        &mut self,
        incoming: Incoming<'_>,
    ) -> (Result<Option<TranscriptionRequest>, Fault>, Excerpt) {
        let Incoming {
            task,
            mut form,
            mut file,
            first,
            mut excerpt,
            ..
        } = incoming;
        let taken = self.send_file(&mut file, first, &mut excerpt).await;
        drop(file);
        let sent = match taken {
            Ok(true) => self.send_rest(task, &mut form).await,
            Ok(false) => Ok(None),
            Err(fault) => Err(fault),
        };
        (sent, excerpt)
    }

    /// False when the provider takes no more.
    async fn send_file(
        &mut self,
        file: &mut FilePart<'_>,
        first: Bytes,
        excerpt: &mut Excerpt,
    ) -> Result<bool, Fault> {
        let before = self.plan.before(None, &self.boundary).map_err(internal)?;
        if !self.send(before).await {
            return Ok(false);
        }
        let (mut next, mut length) = (first, 0);
        loop {
            length += next.len() as u64;
            let most = self.plan.max_audio_bytes();
            if length > most {
                let refusal = file_too_large(most, &self.plan.candidate().provider);
                return Err(Fault::Refused(refusal));
            }
            let audio = self.encode.push(next);
            if !self.send(audio).await {
                return Ok(false);
            }
            next = tokio::select! {
                biased;
                said = self.upstream.next() => return said_early(said),
                chunk = file.chunk() => match chunk.map_err(fault)? {
                    Some(chunk) => chunk,
                    None => break,
                },
            };
            excerpt.feed(&next);
        }
        let last = self.encode.finish();
        Ok(self.send(last).await)
    }

    async fn send_rest(
        &mut self,
        task: Task,
        form: &mut Form<'_>,
    ) -> Result<Option<TranscriptionRequest>, Fault> {
        while form.next_file().await.map_err(fault)?.is_some() {}
        let asked = TranscriptionRequest::parse(task, &form.fields).map_err(Fault::Refused)?;
        self.plan.check(&asked).map_err(Fault::Refused)?;
        let after = self.plan.after(&asked, &self.boundary).map_err(internal)?;
        let complete = self.send(after).await && self.upstream.finish().await.is_ok();
        Ok(complete.then_some(asked))
    }

    async fn send(&mut self, chunk: Bytes) -> bool {
        self.attempt.request_chunk(&chunk);
        let sent = self.upstream.send(chunk).await;
        sent.inspect_err(|error| tracing::debug!(%error, "the provider takes no more of the body"))
            .is_ok()
    }
}

/// An answer before the whole file is there can only be a refusal.
fn said_early(said: Result<Event, pingora::BError>) -> Result<bool, Fault> {
    said.map(|_| false).map_err(|error| fault_of(&error, false))
}

fn fault(unanswered: Unanswered) -> Fault {
    match unanswered {
        Unanswered::CallerLeft => Fault::CallerLeft("the connection ended".into()),
        Unanswered::Refused(refusal) => Fault::Refused(refusal),
        Unanswered::Failed(failure) => Fault::Refused(failure.refusal),
    }
}

fn internal(error: policies::rewrite::RewriteError) -> Fault {
    Fault::Internal(format!("translating the request: {error}"))
}
