//! Who may serve a request of `/v1`: the caller's word, else the selection, in order.
//!
//! `provider/model` is exactly that one. `default` and OpenAI's own names mean the selection and its fallbacks. A
//! voice that the caller names is the first provider's; another provider does not have it and speaks with its own.

use std::sync::Arc;

use crate::descriptor::{Glob, Provider, Providers, SpeechSource};
use crate::vocabulary::{Choice, Code, Refusal, Selection, Task};

/// One provider, model and voice to try.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub provider: Arc<Provider>,
    pub model: String,
    /// Speech only.
    pub voice: Option<String>,
}

/// OpenAI's names, which apps have built in, stand for what the user has chosen.
const OPENAI_MODELS: [&str; 6] = [
    "tts-1*",
    "gpt-*-tts*",
    "whisper-*",
    "gpt-*transcribe*",
    "gpt-audio*",
    "gpt-realtime*",
];
const OPENAI_VOICES: [&str; 13] = [
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer",
    "verse",
];
const DEFAULT: &str = "default";

/// In the order in which they are tried; never empty.
pub fn candidates(
    task: Task,
    model: &str,
    voice: Option<&str>,
    selection: Option<&Selection>,
    providers: &Providers,
) -> Result<Vec<Candidate>, Refusal> {
    match model.split_once('/') {
        Some((id, model)) => {
            let provider = named(id, providers)?;
            offers(task, &provider).map_err(|refusal| refusal.at("model"))?;
            takes(task, &provider, model)?;
            // Where the provider is named, one of its own voices is that one, whatever else its name may stand for.
            let is_its_own = |voice: &&str| provider.voices.fixed.iter().any(|known| known.id == **voice);
            let chosen = voice.filter(is_its_own).or(chosen_voice(&provider, selection));
            candidate(task, provider, Some(model), chosen, voice).map(|candidate| vec![candidate])
        }
        None if stands_for_selection(model) => selected(task, voice, selection, providers),
        None => Err(unknown_model(model)),
    }
}

fn stands_for_selection(model: &str) -> bool {
    model == DEFAULT || OPENAI_MODELS.iter().any(|name| Glob::new(name).matches(model))
}

fn unknown_model(model: &str) -> Refusal {
    let shown = &model[..model.floor_char_boundary(80)];
    Refusal::new(
        Code::InvalidRequest,
        format!("{shown:?} names no model; say `default`, or `provider/model` as GET /v1/models lists them"),
    )
    .at("model")
}

fn named(id: &str, providers: &Providers) -> Result<Arc<Provider>, Refusal> {
    providers.get(id).cloned().ok_or_else(|| {
        let known: Vec<_> = providers.iter().map(|provider| provider.id.as_str()).collect();
        let message = format!(
            "the model names no provider of this gateway; known are {}",
            known.join(", ")
        );
        Refusal::new(Code::UnknownProvider, message).at("model")
    })
}

fn offers(task: Task, provider: &Provider) -> Result<(), Refusal> {
    let offered = match task {
        Task::Speech => provider.speech.is_some(),
        Task::Transcription | Task::Translation => provider.transcription.is_some(),
    };
    if offered {
        return Ok(());
    }
    Err(Refusal::new(
        Code::InvalidRequest,
        format!("{} is not offered for {task} here", provider.name),
    ))
}

/// Where names tell what a model does, a model of another kind is refused before anyone is asked.
fn takes(task: Task, provider: &Provider, model: &str) -> Result<(), Refusal> {
    if provider.serves(task, model) {
        return Ok(());
    }
    let name = &provider.name;
    let message = format!("{name} has no model of that name for {task}; GET /v1/models lists what there is");
    Err(Refusal::new(Code::InvalidRequest, message).at("model"))
}

fn selected(
    task: Task,
    voice: Option<&str>,
    selection: Option<&Selection>,
    providers: &Providers,
) -> Result<Vec<Candidate>, Refusal> {
    let selection = selection.ok_or_else(|| {
        let operation = task.operation();
        Refusal::new(
            Code::SelectionMissing,
            format!("no provider is chosen for {operation}; choose one, or name `provider/model`"),
        )
    })?;
    let first = Choice {
        provider: selection.provider.clone(),
        model: selection.model.clone(),
        voice: selection.voice.clone(),
    };
    let mut candidates = vec![of_choice(task, &first, voice, providers)?];
    for choice in &selection.fallbacks {
        let voice = voice.filter(|_| choice.provider == first.provider);
        // A fallback that cannot serve is none.
        candidates.extend(of_choice(task, choice, voice, providers));
    }
    Ok(candidates)
}

fn of_choice(
    task: Task,
    choice: &Choice,
    voice: Option<&str>,
    providers: &Providers,
) -> Result<Candidate, Refusal> {
    let Some(provider) = providers.get(choice.provider.as_str()) else {
        let message = format!(
            "{}, which is chosen, is no provider of this gateway",
            choice.provider
        );
        return Err(Refusal::new(Code::SelectionMissing, message));
    };
    offers(task, provider)?;
    if let Some(model) = &choice.model {
        takes(task, provider, model)?;
    }
    let chosen = choice.voice.as_deref();
    candidate(task, provider.clone(), choice.model.as_deref(), chosen, voice)
}

fn candidate(
    task: Task,
    provider: Arc<Provider>,
    model: Option<&str>,
    chosen_voice: Option<&str>,
    asked_voice: Option<&str>,
) -> Result<Candidate, Refusal> {
    let default = match task {
        Task::Speech => provider.speech.as_ref().map(|source| &source.default_model),
        Task::Transcription | Task::Translation => provider
            .transcription
            .as_ref()
            .map(|source| &source.default_model),
    };
    let model = model
        .map(str::to_owned)
        .or_else(|| default.cloned())
        .unwrap_or_default();
    let voice = match &provider.speech {
        Some(source) if task == Task::Speech => {
            let voice = voice(source, &provider, &model, chosen_voice, asked_voice);
            Some(voice.ok_or_else(|| no_voice(&provider))?)
        }
        _ => None,
    };
    Ok(Candidate {
        provider,
        model,
        voice,
    })
}

fn no_voice(provider: &Provider) -> Refusal {
    let message = format!("{} has no voice of its own choice; name one", provider.name);
    Refusal::new(Code::InvalidRequest, message).at("voice")
}

/// The voice asked for by its own name; else the one chosen; else the provider's default. OpenAI's names stand for what is
/// chosen, and for themselves where nothing is and the provider has them too.
fn voice(
    source: &SpeechSource,
    provider: &Provider,
    model: &str,
    chosen: Option<&str>,
    asked: Option<&str>,
) -> Option<String> {
    let asked = asked.filter(|asked| *asked != DEFAULT);
    let named = asked.filter(|voice| !OPENAI_VOICES.contains(voice));
    let shared = asked.filter(|voice| provider.voices.fixed.iter().any(|known| known.id == *voice));
    let voice = named.or(chosen).or(shared).or(source.default_voice(model));
    voice.map(str::to_owned)
}

/// The voice that the user has chosen for this provider.
fn chosen_voice<'s>(provider: &Provider, selection: Option<&'s Selection>) -> Option<&'s str> {
    let selection = selection?;
    if selection.provider == provider.id {
        return selection.voice.as_deref();
    }
    let fallback = selection
        .fallbacks
        .iter()
        .find(|choice| choice.provider == provider.id)?;
    fallback.voice.as_deref()
}
