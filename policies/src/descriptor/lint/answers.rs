//! The half of the linter about what comes back: meters, verdicts, Voxgate's own calls, prices, limits.

use http::Method;

use crate::descriptor::errors::Findings;
use crate::descriptor::provider::*;
use crate::vocabulary::Verdict;

/// Shorter silence than this cuts calls that are merely thinking.
const SHORTEST_IDLE_SECONDS: u64 = 30;

pub(super) fn lint(provider: &Provider, findings: &mut Findings<'_>) {
    meters(provider, findings);
    verdicts(provider, findings);
    calls(provider, findings);
    lists(provider, findings);
    prices(provider, findings);
    timeouts(provider, findings);
}

fn meters(provider: &Provider, findings: &mut Findings<'_>) {
    for (nth, endpoint) in provider.endpoints.iter().enumerate() {
        let plan = &endpoint.meter;
        let key = format!("endpoints.{nth}.meter");
        let asked = plan.model.len() + plan.characters.len();
        let read = plan.audio_seconds.len() + plan.tokens_in.len() + plan.tokens_out.len();
        if asked > 32 || read > 32 {
            findings.add(key.as_str(), "a meter reads at most 32 places of a body");
        }
        let reads_json = plan.request == RequestShape::Json;
        if !plan.characters.is_empty() && !reads_json {
            findings.add(
                key.as_str(),
                "characters are counted at pointers of JSON requests only",
            );
        }
        let one_field = plan.request == RequestShape::Multipart && plan.model.len() == 1;
        if !plan.model.is_empty() && !reads_json && !one_field {
            findings.add(
                key,
                "a model is read from a JSON request, or from one field of a form",
            );
        }
    }
}

fn verdicts(provider: &Provider, findings: &mut Findings<'_>) {
    if !provider
        .verdicts
        .iter()
        .any(|rule| rule.verdict == Verdict::Invalid && matches!(rule.on, Occasion::Status(_)))
    {
        findings.add(
            "verdicts",
            "no answer leads to `invalid`, so a dead key would never be noticed",
        );
    }
    for (nth, rule) in provider.verdicts.iter().enumerate() {
        let key = format!("verdicts.{nth}");
        if let Some(problem) = unsafe_invalid(rule).filter(|_| rule.verdict == Verdict::Invalid) {
            findings.add(key.as_str(), problem);
        }
        if rule.on == Occasion::Message && !matches!(rule.body, BodyMatch::Json { .. }) {
            findings.add(key.as_str(), "a rule for messages says where to look: give `at`");
        }
        if matches!(
            (&rule.on, &rule.body),
            (Occasion::Close(_), BodyMatch::Json { .. })
        ) {
            findings.add(
                key.as_str(),
                "the reason of a closing is text: give `text_contains` or `text_begins`",
            );
        }
        if matches!(rule.on, Occasion::Close(_) | Occasion::Message) && rule.stops_everything {
            findings.add(
                key.as_str(),
                "only an answer to a call of Voxgate's own tells that nothing works",
            );
        }
        if provider.verdicts[..nth]
            .iter()
            .any(|earlier| hides(earlier, rule))
        {
            findings.add(
                key.as_str(),
                "an earlier rule without conditions takes all of its answers",
            );
        }
        let has_names = !rule.names.is_empty();
        if has_names && !matches!(rule.on, Occasion::Status(_)) {
            findings.add(key.as_str(), "`names` are looked for in the answer to a call");
        }
        let is_named = rule.says.as_ref().is_some_and(|says| says.contains("{named}"));
        if is_named == rule.names.is_empty() {
            findings.add(key, "`names` and a {named} in `says` need each other");
        }
    }
}

/// What is wrong with leading from here to `invalid`, which marks a key that others may share. Callers can have
/// words of theirs quoted in what a provider says, so it must be said in a place or at a beginning that is not
/// theirs.
fn unsafe_invalid(rule: &VerdictRule) -> Option<&'static str> {
    let is_refusal = |(from, to): &(u16, u16)| *from >= 400 && *to < 500 && !(*from..=*to).contains(&429);
    let is_private = |(from, _): &(u16, u16)| *from >= 4000;
    match (&rule.on, &rule.body) {
        (Occasion::Status(statuses), _) => {
            let problem = "only a refusal (4xx, but not 429) says that a key is invalid";
            (!statuses.iter().all(is_refusal)).then_some(problem)
        }
        (Occasion::Close(_), BodyMatch::Begins(_)) => None,
        (Occasion::Close(codes), BodyMatch::Anything) if codes.iter().all(is_private) => None,
        (Occasion::Close(_), _) => Some(
            "a closing says that a key is invalid by how its reason begins (`text_begins`), or by a code of 4000 and more",
        ),
        (Occasion::Message, BodyMatch::Json { equals, contains, .. })
            if !equals.is_empty() && contains.is_empty() =>
        {
            None
        }
        (Occasion::Message, _) => {
            Some("a message says that a key is invalid by a value that is `equals` to a word")
        }
    }
}

/// Whether no answer gets past the earlier rule to this one.
fn hides(earlier: &VerdictRule, rule: &VerdictRule) -> bool {
    let covers = |earlier: &[(u16, u16)], later: &[(u16, u16)]| {
        let is_within = |(from, to): &(u16, u16)| earlier.iter().any(|(a, b)| a <= from && to <= b);
        later.iter().all(is_within)
    };
    let takes_all = matches!(earlier.body, BodyMatch::Anything);
    takes_all
        && match (&earlier.on, &rule.on) {
            (Occasion::Status(earlier), Occasion::Status(later))
            | (Occasion::Close(earlier), Occasion::Close(later)) => covers(earlier, later),
            _ => false,
        }
}

fn calls(provider: &Provider, findings: &mut Findings<'_>) {
    if provider.probes.is_empty() {
        findings.add(
            "probes",
            "without a free call nobody can tell whether a key is real",
        );
    }
    for (nth, probe) in provider.probes.iter().enumerate() {
        listed(provider, probe, &format!("probes.{nth}"), findings);
    }
    let models = provider.models.call.as_ref().map(|call| ("models.call", call));
    let voices = provider.voices.call.as_ref().map(|call| ("voices.call", call));
    let quota = provider.quota.as_ref().map(|quota| ("quota.call", &quota.call));
    for (key, call) in [models, voices, quota].into_iter().flatten() {
        listed(provider, call, key, findings);
    }
}

/// What Voxgate asks with a person's key is no more than what callers may ask.
fn listed(provider: &Provider, call: &Call, key: &str, findings: &mut Findings<'_>) {
    let is_listed = provider.endpoints.iter().any(|endpoint| {
        endpoint.method == EndpointMethod::Http(Method::GET)
            && endpoint.host == call.host
            && endpoint.path.matches(&call.path, |_, _| {})
    });
    if call.method != Method::GET || !is_listed {
        findings.add(
            key,
            format!(
                "{} {} on {} is not a listed GET endpoint",
                call.method, call.path, call.host
            ),
        );
    }
}

fn lists(provider: &Provider, findings: &mut Findings<'_>) {
    let models = &provider.models;
    if models.call.is_some() && (models.id.steps().is_empty() || models.operations.is_empty()) {
        findings.add(
            "models",
            "a live list needs `id`, and `operations` to tell what each model does",
        );
    }
    if models.next.is_some() != models.page_query.is_some() {
        findings.add("models", "`next` and `page_query` need each other");
    }
    let voices = &provider.voices;
    if voices.call.is_some() && voices.id.steps().is_empty() {
        findings.add("voices", "a live list needs `id`");
    }
    if voices.next.is_some() != voices.page_query.is_some() {
        findings.add("voices", "`next` and `page_query` need each other");
    }
}

fn prices(provider: &Provider, findings: &mut Findings<'_>) {
    for (nth, price) in provider.prices.iter().enumerate() {
        let key = format!("prices.{nth}");
        let rates = [
            price.per_million_characters,
            price.per_hour,
            price.per_million_tokens_in,
            price.per_million_tokens_out,
        ];
        if !rates.iter().flatten().all(|rate| *rate >= 0.0) || rates.iter().flatten().next().is_none() {
            findings.add(key.as_str(), "a price has at least one rate, and none below zero");
        }
        if !price.source.contains("https://") {
            findings.add(
                format!("{key}.source"),
                "a price says where it was read, with a URL",
            );
        }
        if price.models.is_empty() || !provider.operations.contains(&price.operation) {
            findings.add(
                key.as_str(),
                "a price is for models and an operation of this provider",
            );
        }
        if price
            .from
            .zip(price.until)
            .is_some_and(|(from, until)| from > until)
        {
            findings.add(format!("{key}.until"), "the price ends before it begins");
        }
    }
}

fn timeouts(provider: &Provider, findings: &mut Findings<'_>) {
    let Timeouts {
        connect,
        first_byte,
        idle,
    } = provider.timeouts;
    if connect.is_zero() || first_byte.is_zero() {
        findings.add("timeouts", "a limit of zero would stop every call");
    }
    if idle.as_secs() < SHORTEST_IDLE_SECONDS {
        findings.add(
            "timeouts.idle_ms",
            format!("speech may be silent for {SHORTEST_IDLE_SECONDS} seconds"),
        );
    }
}
