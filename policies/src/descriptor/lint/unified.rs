//! The part of the linter about `/v1`: sample requests are translated as callers' would be, and what comes out must be
//! well-formed and reach a listed endpoint.

use std::sync::Arc;

use serde_json::Value;

use crate::descriptor::errors::Findings;
use crate::descriptor::is_one_of;
use crate::descriptor::provider::*;
use crate::descriptor::unified::*;
use crate::rules::{Inbound, translated};
use crate::unified::{
    AudioEncoding, AudioFile, Candidate, Delivery, SpeechPlan, SpeechRequest, TranscriptionPlan,
    TranscriptionRequest,
};
use crate::vocabulary::{AudioFormat, Operation, Task, TranscriptFormat};

const BOUNDARY: &str = "boundary";

pub(super) fn lint(provider: &Provider, findings: &mut Findings<'_>) {
    if let Some(source) = &provider.speech {
        speech(provider, source, findings);
    }
    if let Some(source) = &provider.transcription {
        transcription(provider, source, findings);
    }
}

fn speech(provider: &Provider, source: &SpeechSource, findings: &mut Findings<'_>) {
    if !provider.serves(Task::Speech, &source.default_model) {
        findings.add("speech.default_model", "this is none of the models that speak");
    }
    if source.speed.is_some_and(|(from, to)| !(from..=to).contains(&1.0)) {
        findings.add("speech.speed", "a range of speeds holds 1");
    }
    if source.max_characters.iter().any(|(_, limit)| *limit < 100) {
        findings.add(
            "speech.max_characters",
            "so short a limit leaves no room for a sentence",
        );
    }
    if source.formats.is_empty() && source.samples.is_none() {
        findings.add(
            "speech.formats",
            "without formats and samples there is nothing to give",
        );
    }
    if source
        .samples
        .as_ref()
        .and_then(|samples| samples.rate)
        .is_some_and(|rate| !(8_000..=48_000).contains(&rate))
    {
        findings.add("speech.samples.rate", "a rate is from 8000 to 48000");
    }
    if !source.styles.is_empty() && source.instructions.is_empty() {
        findings.add(
            "speech.styles",
            "no model takes instructions, so that no style can be asked for",
        );
    }
    let candidate = candidate(provider, &source.default_model, source.default_voice.clone());
    for request in speech_samples(source, &candidate.model) {
        let Ok(plan) = SpeechPlan::new(&candidate, &request) else {
            continue;
        };
        match plan.call(0) {
            Err(error) => findings.add("speech", error.to_string()),
            Ok(call) => {
                if matches!(source.body, SpeechBody::Json(_)) {
                    well_formed("speech.json", &call.body, findings);
                }
                let reached = translated(&candidate.provider, &call.head).ok();
                listed(provider, "speech.path", reached, Operation::Tts, findings);
            }
        }
    }
}

/// With each format, plain and with everything that can be asked.
fn speech_samples(source: &SpeechSource, model: &str) -> Vec<SpeechRequest> {
    let plain = |format: AudioFormat| SpeechRequest {
        model: model.to_owned(),
        input: "Polly \"wants\" a <cracker>.".to_owned(),
        voice: None,
        instructions: None,
        format,
        speed: None,
        delivery: Delivery::Audio,
    };
    let style = source.styles.first().map_or("calm", String::as_str).to_owned();
    let full = |format: AudioFormat| SpeechRequest {
        speed: source.speed.map(|(_, to)| to),
        instructions: is_one_of(&source.instructions, model).then(|| style.clone()),
        ..plain(format)
    };
    let formats = AudioFormat::ALL.iter();
    formats
        .flat_map(|format| [plain(*format), full(*format)])
        .collect()
}

fn transcription(provider: &Provider, source: &TranscriptionSource, findings: &mut Findings<'_>) {
    let (can, answer) = (&source.can, &source.answer);
    if !provider.serves(Task::Transcription, &source.default_model) {
        findings.add(
            "transcription.default_model",
            "this is none of the models that transcribe",
        );
    }
    if !can.words.is_empty() && answer.words.is_none() {
        findings.add(
            "transcription.can.words",
            "the answer says nowhere when words are spoken",
        );
    }
    let timed = answer.words.iter().chain(&answer.segments);
    if !can.times.is_empty() && timed.clone().next().is_none() {
        findings.add(
            "transcription.can.times",
            "the answer says nowhere when anything is spoken",
        );
    }
    if !can.speakers.is_empty() && !timed.clone().any(|stretches| stretches.speaker.is_some()) {
        findings.add("transcription.can.speakers", "the answer says nowhere who speaks");
    }
    let candidate = candidate(provider, &source.default_model, None);
    for request in transcription_samples(source) {
        let file = AudioFile::default();
        let Ok(plan) = TranscriptionPlan::new(request.task, &candidate, &file) else {
            continue;
        };
        if plan.check(&request).is_ok() {
            translate(provider, &plan, &request, findings);
        }
    }
}

fn translate(
    provider: &Provider,
    plan: &TranscriptionPlan,
    request: &TranscriptionRequest,
    findings: &mut Findings<'_>,
) {
    let parts = plan.head(Some(request), BOUNDARY).and_then(|head| {
        let before = plan.before(Some(request), BOUNDARY)?;
        Ok((head, [before, plan.after(request, BOUNDARY)?].concat()))
    });
    match parts {
        Err(error) => findings.add("transcription", error.to_string()),
        Ok((head, body)) => {
            if plan.encoding() == AudioEncoding::Base64 {
                well_formed("transcription.json", &body, findings);
            }
            let reached = translated(&plan.candidate().provider, &head).ok();
            listed(provider, "transcription.path", reached, Operation::Stt, findings);
        }
    }
}

/// Plain, and with each thing that can be asked.
fn transcription_samples(source: &TranscriptionSource) -> Vec<TranscriptionRequest> {
    let plain = TranscriptionRequest {
        task: Task::Transcription,
        model: source.default_model.clone(),
        languages: Vec::new(),
        prompt: None,
        keywords: Vec::new(),
        temperature: None,
        format: TranscriptFormat::Json,
        words: false,
        segments: false,
        stream: false,
    };
    let with = |change: &dyn Fn(&mut TranscriptionRequest)| {
        let mut request = plain.clone();
        change(&mut request);
        request
    };
    vec![
        with(&|_| {}),
        with(&|request| request.task = Task::Translation),
        with(&|request| request.languages = vec!["en-US".to_owned()]),
        with(&|request| request.prompt = Some("a \"b\"".to_owned())),
        with(&|request| request.keywords = vec!["a".to_owned(), "b\"".to_owned()]),
        with(&|request| request.temperature = Some(0.5)),
        with(&|request| (request.words, request.format) = (true, TranscriptFormat::VerboseJson)),
        with(&|request| request.format = TranscriptFormat::DiarizedJson),
    ]
}

fn candidate(provider: &Provider, model: &str, voice: Option<String>) -> Candidate {
    Candidate {
        provider: Arc::new(provider.clone()),
        model: model.to_owned(),
        voice: Some(voice.unwrap_or_else(|| "en-US-Polly".to_owned())),
    }
}

fn well_formed(key: &str, body: &[u8], findings: &mut Findings<'_>) {
    if let Err(error) = serde_json::from_slice::<Value>(body) {
        findings.add(key, format!("a filled body is not JSON: {error}"));
    }
}

/// What `/v1` calls is no more than what callers may call.
fn listed(
    provider: &Provider,
    key: &str,
    reached: Option<Inbound>,
    operation: Operation,
    findings: &mut Findings<'_>,
) {
    let endpoint = reached.and_then(|inbound| inbound.endpoint());
    let fits = endpoint.is_some_and(|index| provider.endpoints[index].operation == operation);
    if !fits {
        findings.add(key, format!("this is no listed endpoint that does {operation}"));
    }
}
