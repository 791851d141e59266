//! A provider's own lists, read by the descriptor's pointers into one shape.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::descriptor::{Model, ModelSource, Pointer, Provider, Voice, VoiceSource, is_one_of};
use crate::vocabulary::Operation;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// What to ask with for the next page.
    pub next: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Quota {
    pub supported: bool,
    pub used: Option<f64>,
    pub limit: Option<f64>,
    pub unit: Option<String>,
    pub resets_at: Option<DateTime<Utc>>,
}

/// Says where reading stopped, never what the answer held.
#[derive(Debug, thiserror::Error)]
#[error("reading the provider's {what}: {reason}")]
pub struct ReadError {
    pub what: &'static str,
    pub reason: String,
}

fn parse(what: &'static str, answer: &[u8]) -> Result<Value, ReadError> {
    serde_json::from_slice(answer).map_err(|error| ReadError {
        what,
        reason: format!(
            "the answer is not JSON at line {} column {}",
            error.line(),
            error.column()
        ),
    })
}

/// The list at a pointer. A list that is not there is an error: an empty answer of another shape must not
/// pass for "no models".
fn items<'v>(what: &'static str, root: &'v Value, at: &Pointer) -> Result<&'v Vec<Value>, ReadError> {
    at.first(root).and_then(Value::as_array).ok_or_else(|| ReadError {
        what,
        reason: "the answer holds no list where one is due".to_owned(),
    })
}

fn next_page(root: &Value, at: Option<&Pointer>) -> Option<String> {
    at.and_then(|at| at.text(root)).filter(|next| !next.is_empty())
}

/// The live list and the descriptor's own, without those that serve no operation offered here.
pub fn read_models(
    provider: &Provider,
    answer: &[u8],
    operation: Option<Operation>,
) -> Result<Page<Model>, ReadError> {
    let source = &provider.models;
    let mut page = Page {
        items: Vec::new(),
        next: None,
    };
    if source.call.is_some() {
        let root = parse("models", answer)?;
        page.items = items("models", &root, &source.items)?
            .iter()
            .filter_map(|item| model(source, item))
            .collect();
        page.next = next_page(&root, source.next.as_ref());
    }
    for fixed in &source.fixed {
        if !page.items.iter().any(|model| model.id == fixed.id) {
            page.items.push(fixed.clone());
        }
    }
    page.items.retain(|model| {
        operation.map_or(!model.operations.is_empty(), |wanted| {
            model.operations.contains(&wanted)
        })
    });
    Ok(page)
}

fn model(source: &ModelSource, item: &Value) -> Option<Model> {
    let id = source.id.text(item)?;
    let id = id.strip_prefix(&source.id_prefix).unwrap_or(&id).to_owned();
    let is = |test: &crate::descriptor::ModelTest| {
        let flagged = test
            .flag
            .as_ref()
            .and_then(|flag| flag.first(item))
            .and_then(Value::as_bool);
        flagged.unwrap_or(false) || is_one_of(&test.names, &id)
    };
    let operations = source
        .operations
        .iter()
        .filter(|(_, test)| is(test))
        .map(|(operation, _)| *operation);
    Some(Model {
        name: source.name.text(item).unwrap_or_else(|| id.clone()),
        operations: operations.collect(),
        id,
    })
}

/// Voices, searched here whether or not the provider has searched too: one that does not heed the question
/// gives them all. `answer` is `None` for a provider whose voices only the descriptor knows.
pub fn read_voices(
    provider: &Provider,
    answer: Option<&[u8]>,
    q: Option<&str>,
    language: Option<&str>,
) -> Result<Page<Voice>, ReadError> {
    let source = &provider.voices;
    let words: Vec<String> = q
        .unwrap_or("")
        .split_whitespace()
        .map(str::to_lowercase)
        .collect();
    let is_asked_for = |says: &dyn Fn(&str) -> bool| words.iter().all(|word| says(word));
    let holds = |text: &str, word: &str| text.to_lowercase().contains(word);
    let of_ours = source.fixed.iter();
    let of_ours =
        of_ours.filter(|voice| is_asked_for(&|word| holds(&voice.name, word) || holds(&voice.id, word)));
    let mut page = Page {
        items: of_ours.cloned().collect(),
        next: None,
    };
    if let Some(answer) = answer {
        let root = parse("voices", answer)?;
        let theirs = items("voices", &root, &source.items)?.iter();
        let theirs = theirs.filter(|item| is_asked_for(&|word| any_text(item, &|text| holds(text, word))));
        page.items.extend(theirs.filter_map(|item| voice(source, item)));
        page.next = next_page(&root, source.next.as_ref());
    }
    if let Some(language) = language {
        page.items.retain(|voice| {
            voice.languages.is_empty() || voice.languages.iter().any(|l| speaks(l, language))
        });
    }
    Ok(page)
}

/// Whether a text anywhere in a value fits.
fn any_text(value: &Value, fits: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => fits(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, fits)),
        Value::Object(members) => members.values().any(|member| any_text(member, fits)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// `en` is spoken by `en` and `en-US`; `en-US` only by itself.
fn speaks(spoken: &str, wanted: &str) -> bool {
    match spoken.get(..wanted.len()) {
        Some(start) => {
            start.eq_ignore_ascii_case(wanted)
                && matches!(spoken.as_bytes().get(wanted.len()), None | Some(b'-'))
        }
        None => false,
    }
}

/// Each text that the pointers lead to, once.
fn distinct(at: &[Pointer], item: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    for pointer in at {
        pointer.visit(item, &mut |value| {
            let text = value
                .as_str()
                .filter(|text| !texts.iter().any(|known| known == text));
            texts.extend(text.map(str::to_owned));
        });
    }
    texts
}

fn voice(source: &VoiceSource, item: &Value) -> Option<Voice> {
    let id = source.id.text(item)?;
    let languages = distinct(&source.languages, item);
    let optional = |at: &Option<Pointer>| at.as_ref().and_then(|at| at.text(item));
    Some(Voice {
        name: source.name.text(item).unwrap_or_else(|| id.clone()),
        languages,
        gender: optional(&source.gender).map(|gender| gender.to_lowercase()),
        styles: distinct(source.styles.as_slice(), item),
        preview_url: optional(&source.preview),
        id,
    })
}

pub fn read_quota(provider: &Provider, answer: &[u8]) -> Result<Quota, ReadError> {
    let Some(source) = &provider.quota else {
        return Ok(Quota::default());
    };
    let root = parse("quota", answer)?;
    let number = |at: &Pointer| at.first(&root).and_then(Value::as_f64);
    let resets_at = source
        .resets_at
        .as_ref()
        .and_then(|at| at.first(&root))
        .and_then(Value::as_i64);
    let quota = Quota {
        supported: true,
        used: number(&source.used),
        limit: number(&source.limit),
        unit: Some(source.unit.clone()),
        resets_at: resets_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
    };
    if quota.used.is_none() && quota.limit.is_none() {
        return Err(ReadError {
            what: "quota",
            reason: "the answer says neither used nor limit".to_owned(),
        });
    }
    Ok(quota)
}
