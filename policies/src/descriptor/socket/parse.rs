//! From a socket as it is written to what is meant.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::{FileAudioPlace, FilePart, FileSetup, FileSocket, FileSound};
use super::{AudioPlace, PartPlan, SocketPlan, SoundPlan};
use crate::descriptor::errors::Findings;
use crate::descriptor::parse::{nth, pointer, pointers};
use crate::descriptor::pointer::Glob;
use crate::socket::setup::SetupPlan;

pub(in crate::descriptor) fn sockets(
    files: BTreeMap<String, FileSocket>,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, Arc<SocketPlan>> {
    let parsed = files.into_iter().map(|(name, file)| {
        let plan = socket(file, &format!("sockets.{name}"), findings);
        (name, Arc::new(plan))
    });
    parsed.collect()
}

fn socket(file: FileSocket, key: &str, findings: &mut Findings<'_>) -> SocketPlan {
    let voices = file.model_by_voice.iter();
    let voices = voices.map(|rule| (Glob::new(&rule.voice), rule.model.clone()));
    SocketPlan {
        token_fields: file.token_fields,
        token_in_first_message: file.token_in_first_message,
        setup: file
            .setup
            .map(|file| setup(&file, &format!("{key}.setup"), findings)),
        messages: file.messages,
        model_query: file.model_query,
        model_default: file.model_default,
        model_by_voice: voices.collect(),
        wide_characters_count_double: file.wide_characters_count_double,
        audio_in: sound(file.audio_in),
        audio_out: sound(file.audio_out),
        caller: nth(file.caller, &format!("{key}.caller"), findings, part),
        provider: nth(file.provider, &format!("{key}.provider"), findings, part),
    }
}

fn setup(file: &FileSetup, key: &str, findings: &mut Findings<'_>) -> SetupPlan {
    SetupPlan {
        model: pointers(&file.model, &format!("{key}.model"), findings),
        model_prefix: file.model_prefix.clone(),
        models: file.models.iter().map(|name| Glob::new(name)).collect(),
        from_selection: file.from_selection.clone(),
    }
}

fn sound(file: FileSound) -> SoundPlan {
    SoundPlan {
        query: file.query,
        default_format: file.default,
        formats: file.bytes_per_second,
        samples_per_second: file.samples_per_second,
    }
}

fn part(file: FilePart, key: &str, findings: &mut Findings<'_>) -> Option<PartPlan> {
    let mut at = |name: &str, texts: &[String]| pointers(texts, &format!("{key}.{name}"), findings);
    Some(PartPlan {
        model: at("model", &file.model),
        voice: at("voice", &file.voice),
        characters: at("characters", &file.characters),
        transcript: at("transcript", &file.transcript),
        format: at("format", &file.format),
        tokens_in: at("tokens_in", &file.tokens_in),
        tokens_out: at("tokens_out", &file.tokens_out),
        audio: nth(file.audio, &format!("{key}.audio"), findings, audio_place),
        path: file.path,
        body: file.body,
    })
}

fn audio_place(file: FileAudioPlace, key: &str, findings: &mut Findings<'_>) -> Option<AudioPlace> {
    let at = pointer(&file.at, key, findings)?;
    let (object, _) = file.at.rsplit_once('/').unwrap_or_default();
    let beside = file.mime.iter().map(|name| format!("{object}/{name}"));
    Some(AudioPlace {
        at,
        mime: pointers(&beside.collect::<Vec<_>>(), key, findings),
    })
}
