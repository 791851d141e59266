//! `[[verdicts]]`: what a rule is about, and what it looks for there.

use super::pointers;
use crate::descriptor::errors::Findings;
use crate::descriptor::file::FileVerdict;
use crate::descriptor::provider::{BodyMatch, Occasion, VerdictRule};

pub(super) fn parse(file: FileVerdict, key: &str, findings: &mut Findings<'_>) -> Option<VerdictRule> {
    let on = occasion(&file, key, findings)?;
    let body = body(&file, key, findings)?;
    Some(VerdictRule {
        on,
        body,
        verdict: file.verdict,
        stops_everything: file.stops_everything,
        says: file.says,
        names: file.names,
    })
}

fn occasion(file: &FileVerdict, key: &str, findings: &mut Findings<'_>) -> Option<Occasion> {
    match (file.status.is_empty(), file.close.is_empty(), file.message) {
        (false, true, false) => Some(Occasion::Status(ranges(
            &file.status,
            &format!("{key}.status"),
            status_range,
            "is no status; write 401, 4xx or 500-599",
            findings,
        ))),
        (true, false, false) => Some(Occasion::Close(ranges(
            &file.close,
            &format!("{key}.close"),
            |text| range(text, |code| (1000..5000).contains(&code)),
            "closes no WebSocket; write 1008 or 4000-4999",
            findings,
        ))),
        (true, true, true) => Some(Occasion::Message),
        _ => {
            findings.add(
                key,
                "a rule is for exactly one of `status`, `close` and `message`",
            );
            None
        }
    }
}

fn ranges(
    texts: &[String],
    key: &str,
    read: impl Fn(&str) -> Option<(u16, u16)>,
    otherwise: &str,
    findings: &mut Findings<'_>,
) -> Vec<(u16, u16)> {
    let read = texts.iter().filter_map(|text| {
        let range = read(text);
        if range.is_none() {
            findings.add(key, format!("{text} {otherwise}"));
        }
        range
    });
    read.collect()
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    if let Some(class) = text.strip_suffix("xx") {
        let class = class.parse::<u16>().ok().filter(|class| (1..6).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    range(text, |status| (100..600).contains(&status))
}

fn range(text: &str, is_one: impl Fn(u16) -> bool) -> Option<(u16, u16)> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| is_one(*number));
    match text.split_once('-') {
        Some((from, to)) => Some((number(from)?, number(to)?)).filter(|(from, to)| from <= to),
        None => number(text).map(|number| (number, number)),
    }
}

fn body(file: &FileVerdict, key: &str, findings: &mut Findings<'_>) -> Option<BodyMatch> {
    let lower = |words: &[String]| words.iter().map(|word| word.to_lowercase()).collect();
    let is_json = !file.at.is_empty();
    let has_values = !file.equals.is_empty() || !file.contains.is_empty();
    if has_values && !is_json {
        findings.add(key, "`equals` and `contains` look `at` something");
        return None;
    }
    match (
        is_json,
        file.text_contains.is_empty(),
        file.text_begins.is_empty(),
    ) {
        (false, true, true) => Some(BodyMatch::Anything),
        (false, false, true) => Some(BodyMatch::Text(lower(&file.text_contains))),
        (false, true, false) => Some(BodyMatch::Begins(lower(&file.text_begins))),
        (true, true, true) => Some(BodyMatch::Json {
            at: pointers(&file.at, &format!("{key}.at"), findings),
            equals: file.equals.clone(),
            contains: lower(&file.contains),
        }),
        _ => {
            findings.add(
                key,
                "give `at` with `equals` or `contains`, or `text_contains`, or `text_begins`, or none of them",
            );
            None
        }
    }
}
