//! Golden pairs of the unified API: a request as a caller makes it (`*.in.json` for speech, `*.in.form` for transcription,
//! a field a line) and the request that goes to the provider (`*.out.http`), to be read and reviewed like code. With
//! `UPDATE_GOLDEN=1` the second of each pair is written anew.

#![expect(
    clippy::disallowed_methods,
    reason = "the bans keep the crate pure; its tests read files"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use common::{PROVIDERS, enough, upstream_text};
use policies::descriptor::Provider;
use policies::rules::{route, translated};
use policies::unified::{
    AudioEncoding, AudioFile, SpeechPlan, SpeechRequest, SpokenAs, TranscriptionPlan, TranscriptionRequest,
    TranslatedHead, candidates,
};
use policies::vocabulary::Task;

fn head(provider: &Arc<Provider>, head: &TranslatedHead) -> String {
    let inbound = translated(provider, head).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    let route = route(&inbound, &head.method).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    upstream_text(&inbound, &route, &head.method, &enough(provider), &head.headers) + "\n"
}

fn speech(text: &str) -> String {
    let request =
        SpeechRequest::parse(text.as_bytes()).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    let voice = request.voice.as_deref();
    let found = candidates(Task::Speech, &request.model, voice, None, &PROVIDERS)
        .unwrap_or_else(|refusal| panic!("{}", refusal.message));
    let plan = SpeechPlan::new(&found[0], &request).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    let becomes = match plan.spoken_as {
        SpokenAs::AsAsked => "passes as it comes".to_owned(),
        SpokenAs::Pcm { rate } => format!("made here from samples at {rate} Hz"),
        SpokenAs::Wav => "made here from WAV".to_owned(),
    };
    let mut out = format!("# {} {becomes}\n", plan.format());
    for piece in 0..plan.pieces() {
        let call = plan.call(piece).unwrap();
        out += &head(&found[0].provider, &call.head);
        out += std::str::from_utf8(&call.body).unwrap();
        out += "\n";
    }
    out
}

fn transcription(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let fields: Vec<_> = lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let (task, fields): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(name, _)| name == "task");
    let task = if task.is_empty() {
        Task::Transcription
    } else {
        Task::Translation
    };
    let request =
        TranscriptionRequest::parse(task, &fields).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    let found = candidates(task, &request.model, None, None, &PROVIDERS)
        .unwrap_or_else(|refusal| panic!("{}", refusal.message));
    let file = AudioFile {
        name: Some("talk.mp3".to_owned()),
        content_type: Some("audio/mpeg".to_owned()),
    };
    let plan = TranscriptionPlan::new(task, &found[0], &file)
        .unwrap_or_else(|refusal| panic!("{}", refusal.message));
    plan.check(&request)
        .unwrap_or_else(|refusal| panic!("{}", refusal.message));
    let boundary = "BOUNDARY";
    let audio = match plan.encoding() {
        AudioEncoding::AsIs => "<the audio>",
        AudioEncoding::Base64 => "<the audio in base64>",
    };
    if plan.may_stream() {
        // What goes up before the fields are known is what goes up when they are.
        let early = plan.head(None, boundary).unwrap();
        let late = plan.head(Some(&request), boundary).unwrap();
        assert_eq!(
            (early.path, early.query, early.headers),
            (late.path, late.query, late.headers)
        );
        assert_eq!(
            plan.before(None, boundary).unwrap(),
            plan.before(Some(&request), boundary).unwrap()
        );
    }
    let before = plan.before(Some(&request), boundary).unwrap();
    let after = plan.after(&request, boundary).unwrap();
    let body = [&before[..], audio.as_bytes(), &after].concat();
    let body = String::from_utf8(body).unwrap().replace("\r\n", "\n");
    format!(
        "# {}\n{}{body}\n",
        if plan.may_stream() { "may stream" } else { "whole" },
        head(&found[0].provider, &plan.head(Some(&request), boundary).unwrap()),
    )
}

#[test]
fn what_goes_upstream_is_what_was_reviewed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for provider in PROVIDERS.iter() {
        let folder = root.join(provider.id.as_str());
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        let mut kinds = [0, 0];
        for input in &files {
            let name = input.to_string_lossy();
            let text = || fs::read_to_string(input).unwrap();
            let (out, stem) = if let Some(stem) = name.strip_suffix(".in.json") {
                kinds[0] += 1;
                (speech(&text()), stem)
            } else if let Some(stem) = name.strip_suffix(".in.form") {
                kinds[1] += 1;
                (transcription(&text()), stem)
            } else {
                continue;
            };
            let output = format!("{stem}.out.http");
            if env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&output, &out).unwrap();
            }
            assert_eq!(out, fs::read_to_string(&output).unwrap_or_default(), "{output}");
        }
        assert!(
            kinds[0] > 0 || provider.speech.is_none(),
            "{} shows no speech",
            provider.id
        );
        assert!(
            kinds[1] > 0 || provider.transcription.is_none(),
            "{} shows no transcription",
            provider.id
        );
    }
}
