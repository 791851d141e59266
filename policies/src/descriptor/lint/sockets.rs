//! The half of the linter about WebSockets: a plan that is read says what is read, where there is such a thing.

use std::collections::BTreeSet;

use crate::descriptor::errors::Findings;
use crate::descriptor::provider::*;
use crate::descriptor::socket::*;
use crate::meter::json::MOST_WANTS;

pub(super) fn lint(provider: &Provider, findings: &mut Findings<'_>) {
    for (nth, endpoint) in provider.endpoints.iter().enumerate() {
        let key = format!("endpoints.{nth}.socket");
        let plan = &endpoint.socket;
        let reads = !plan.caller.is_empty() || !plan.provider.is_empty();
        if reads != plan.is_read() {
            findings.add(
                key.as_str(),
                "`messages` says how those are built that `caller` and `provider` read: it needs them, and they need it",
            );
        }
        tokens(plan, &key, findings);
        setup(plan, &key, findings);
        for sound in [&plan.audio_in, &plan.audio_out] {
            self::sound(sound, &key, findings);
        }
        let rules = places_of_rules(provider);
        parts(plan, &plan.caller, 0, &key, findings);
        parts(plan, &plan.provider, rules, &key, findings);
    }
}

fn tokens(plan: &SocketPlan, key: &str, findings: &mut Findings<'_>) {
    if plan.token_in_first_message && plan.token_fields.is_empty() {
        findings.add(key, "a token in the first message is in one of `token_fields`");
    }
    if plan.token_fields.iter().any(String::is_empty) {
        findings.add(key, "a field of `token_fields` has a name");
    }
}

fn setup(plan: &SocketPlan, key: &str, findings: &mut Findings<'_>) {
    let Some(setup) = &plan.setup else { return };
    if setup.model.is_empty() || setup.model.iter().any(|at| at.steps().is_empty()) {
        findings.add(key, "a setup says in which member its `model` is named");
    }
    if setup.models.is_empty() {
        findings.add(key, "a setup without `models` would refuse every session");
    }
    if plan.messages == MessageShape::Headed {
        findings.add(key, "a setup is read from JSON messages");
    }
}

fn sound(plan: &SoundPlan, key: &str, findings: &mut Findings<'_>) {
    if plan.formats.values().any(|rate| *rate <= 0.0) || plan.samples_per_second == Some(0) {
        findings.add(key, "a rate is more than zero");
    }
}

/// How many places of a message the rules about messages look at.
fn places_of_rules(provider: &Provider) -> usize {
    let rules = provider
        .verdicts
        .iter()
        .filter(|rule| rule.on == Occasion::Message);
    rules
        .map(|rule| match &rule.body {
            BodyMatch::Json { at, .. } => at.len(),
            _ => 0,
        })
        .sum()
}

fn parts(plan: &SocketPlan, parts: &[PartPlan], rules: usize, key: &str, findings: &mut Findings<'_>) {
    let headed = plan.messages == MessageShape::Headed;
    let mut seen = BTreeSet::new();
    for part in parts {
        if headed != part.path.is_some() {
            findings.add(
                key,
                "a part of headed messages has a `path`, and no other part has",
            );
        }
        if !seen.insert(part.path.as_deref().map(str::to_ascii_lowercase)) {
            findings.add(key, "two parts are about the same messages");
        }
        let asked = places(part);
        if part.body == PartBody::Json && asked + rules > MOST_WANTS {
            findings.add(key, format!("at most {MOST_WANTS} places of a message are read"));
        }
        if part.body == PartBody::Json && asked + rules == 0 {
            findings.add(key, "a part of JSON says what is read there");
        }
        if part.body != PartBody::Json && (asked > 0 || !headed) {
            findings.add(
                key,
                "places are read in JSON; other bodies stand in headed messages",
            );
        }
        for place in &part.audio {
            if place.at.steps().is_empty() {
                findings.add(key, "sound in base64 is a member of an object");
            }
        }
    }
}

fn places(part: &PartPlan) -> usize {
    let audio: usize = part.audio.iter().map(|place| 1 + place.mime.len()).sum();
    let pointers = [
        &part.model,
        &part.voice,
        &part.characters,
        &part.transcript,
        &part.format,
        &part.tokens_in,
        &part.tokens_out,
    ];
    audio + pointers.map(Vec::len).iter().sum::<usize>()
}
