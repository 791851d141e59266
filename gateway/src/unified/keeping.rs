//! A file that cannot go up as it comes: kept whole, with the candidates that take one so large.

use policies::descriptor::{Provider, Providers};
use policies::unified::{AudioFile, Candidate, TranscriptionPlan, TranscriptionRequest};
use policies::vocabulary::{Code, Refusal, Task};

use super::Request;
use super::attempts::Unanswered;
use super::spool::NotKept;
use super::transcription::{Upload, file_too_large};
use super::upload::Incoming;

pub async fn spool(
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
