//! What a provider's answer says about the key: status and body together, by the descriptor's rules. Of a
//! WebSocket: the code and reason that close it, or a message.
//!
//! Only [`Verdict::Invalid`] marks a credential, so it comes from a rule that says so and never from a
//! default. A body that is not JSON (a CDN's page, a cut answer) matches no rule that asks for a value.
//! Nothing of a body is repeated to people except words that the descriptor lists.

use serde_json::Value;

use crate::descriptor::{BodyMatch, Occasion, Pointer, Provider, VerdictRule};
use crate::vocabulary::{Code, Verdict};

/// The verdict on an answer of which `body` is the beginning.
pub fn judge(provider: &Provider, status: u16, body: &[u8]) -> Verdict {
    match matching_rule(provider, status, &Body::new(body)) {
        Some(rule) => rule.verdict,
        None => by_status(status),
    }
}

fn by_status(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Valid,
        429 => Verdict::RateLimited,
        500.. => Verdict::Unavailable,
        _ => Verdict::Caller,
    }
}

/// A verdict and what it means for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub verdict: Verdict,
    pub says: String,
}

/// What a WebSocket's closing says about the key: the code and the reason's words together. `None`: nothing.
pub fn judge_close(provider: &Provider, code: u16, reason: &str) -> Option<Judged> {
    let reason_as_body = Body::new(reason.as_bytes());
    let fits = |rule: &&VerdictRule| rule.on.has_close(code) && reason_as_body.fits(&rule.body);
    let rule = provider.verdicts.iter().find(fits)?;
    Some(judged(provider, rule, &format!("with close code {code}")))
}

/// What a WebSocket's message says about the key. `texts_at` gives the short texts that were found there.
pub(crate) fn judge_message<'t>(
    provider: &Provider,
    mut texts_at: impl FnMut(&Pointer) -> Option<&'t str>,
) -> Option<Judged> {
    let rules = provider
        .verdicts
        .iter()
        .filter(|rule| rule.on == Occasion::Message);
    for rule in rules {
        let BodyMatch::Json { at, equals, contains } = &rule.body else {
            continue;
        };
        let fits = at
            .iter()
            .any(|at| texts_at(at).is_some_and(|text| is_wanted(text, equals, contains)));
        if fits {
            return Some(judged(provider, rule, "in a message"));
        }
    }
    None
}

fn judged(provider: &Provider, rule: &VerdictRule, how: &str) -> Judged {
    let says = rule.says.clone();
    Judged {
        verdict: rule.verdict,
        says: says.unwrap_or_else(|| generic(&provider.name, rule.verdict, how)),
    }
}

pub fn code_of(verdict: Verdict) -> Option<Code> {
    match verdict {
        Verdict::Invalid => Some(Code::CredentialInvalid),
        Verdict::Restricted | Verdict::Blocked => Some(Code::CredentialRestricted),
        Verdict::Quota => Some(Code::ProviderQuotaExceeded),
        Verdict::RateLimited => Some(Code::ProviderRateLimited),
        Verdict::Unavailable => Some(Code::ProviderError),
        Verdict::Valid | Verdict::Caller => None,
    }
}

/// Whether the refusal means that nothing offered here works with this key.
pub fn stops_everything(provider: &Provider, status: u16, body: &[u8]) -> bool {
    matching_rule(provider, status, &Body::new(body)).is_some_and(|rule| rule.stops_everything)
}

/// A sentence for people: what it means and what to do. The rule's own words where the answer still leads
/// to the verdict that was reached, else words for the verdict.
pub fn explain(provider: &Provider, verdict: Verdict, status: u16, body: &[u8]) -> String {
    let body = Body::new(body);
    let rule = matching_rule(provider, status, &body).filter(|rule| rule.verdict == verdict);
    match rule.and_then(|rule| Some((rule, rule.says.as_ref()?))) {
        Some((rule, says)) => says.replace("{named}", &named(rule, &body)),
        None => generic(&provider.name, verdict, &format!("with status {status}")),
    }
}

/// Those of the rule's words that the answer mentions.
fn named(rule: &VerdictRule, body: &Body<'_>) -> String {
    let mentioned = |word: &&String| body.text.as_ref().is_some_and(|text| mentions(text, word));
    let words: Vec<_> = rule.names.iter().filter(mentioned).map(String::as_str).collect();
    if words.is_empty() {
        "a permission".to_owned()
    } else {
        words.join(", ")
    }
}

/// Whether the word stands by itself: `voices_read` is not mentioned by `shared_voices_read`.
fn mentions(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

fn generic(name: &str, verdict: Verdict, how: &str) -> String {
    match verdict {
        Verdict::Valid => format!("{name} accepts the key."),
        Verdict::Invalid => {
            format!("{name} refuses the key as wrong, expired or revoked. Store a new one.")
        }
        Verdict::Restricted => {
            format!("{name} knows the key, but the key or its plan does not allow this. Widen it there.")
        }
        Verdict::RateLimited => format!("{name} asks for fewer calls. Wait and try again."),
        Verdict::Quota => format!("The {name} account behind this key has nothing left. Top it up there."),
        Verdict::Blocked => {
            format!(
                "{name} refuses calls from this gateway's address or country. The key itself is not at fault."
            )
        }
        Verdict::Caller => {
            format!("{name} refused the request {how}; this says nothing about the key.")
        }
        Verdict::Unavailable => format!("{name} failed {how}. Try again later."),
    }
}

fn matching_rule<'p>(provider: &'p Provider, status: u16, body: &Body<'_>) -> Option<&'p VerdictRule> {
    provider
        .verdicts
        .iter()
        .find(|rule| rule.on.has_status(status) && body.fits(&rule.body))
}

/// The beginning of an answer's body, read as far as it can be. A successful answer is audio more often
/// than not, so nothing is read before a rule asks.
pub(super) struct Body<'b> {
    json: std::cell::OnceCell<Option<Value>>,
    bytes: &'b [u8],
    text: Option<&'b str>,
}

impl<'b> Body<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        let bytes = bytes.trim_ascii();
        let is_html = bytes.starts_with(b"<");
        let text = if is_html {
            None
        } else {
            std::str::from_utf8(bytes).ok()
        };
        Self {
            json: std::cell::OnceCell::new(),
            bytes,
            text,
        }
    }

    /// An error may come as an event of a stream, or as the one element of a list.
    pub(super) fn json(&self) -> Option<&Value> {
        let read = || {
            let first_event =
                self.bytes
                    .strip_prefix(b"data:")
                    .map(|rest| match memchr::memchr(b'\n', rest) {
                        Some(end) => &rest[..end],
                        None => rest,
                    });
            match serde_json::from_slice(first_event.unwrap_or(self.bytes)).ok()? {
                Value::Array(mut items) if items.len() == 1 => items.pop(),
                other => Some(other),
            }
        };
        self.json.get_or_init(read).as_ref()
    }

    fn fits(&self, wanted: &BodyMatch) -> bool {
        match wanted {
            BodyMatch::Anything => true,
            BodyMatch::Text(words) => self.text.is_some_and(|text| {
                let text = text.to_lowercase();
                words.iter().any(|word| text.contains(word))
            }),
            BodyMatch::Begins(words) => self.text.is_some_and(|text| {
                let text = text.to_lowercase();
                words.iter().any(|word| text.starts_with(word))
            }),
            BodyMatch::Json { at, equals, contains } => self
                .json()
                .is_some_and(|root| at.iter().any(|at| holds(root, at, equals, contains))),
        }
    }
}

fn holds(root: &Value, at: &Pointer, equals: &[String], contains: &[String]) -> bool {
    let any = equals.is_empty() && contains.is_empty();
    let fits = |text: &str| is_wanted(text, equals, contains);
    let mut found = false;
    at.visit(root, &mut |value| {
        found |= match value {
            Value::String(text) => fits(text),
            Value::Number(number) => fits(&number.to_string()),
            Value::Null => false,
            _ => any,
        };
    });
    found
}

fn is_wanted(text: &str, equals: &[String], contains: &[String]) -> bool {
    let any = equals.is_empty() && contains.is_empty();
    any || equals.iter().any(|word| word == text) || {
        let lower = text.to_lowercase();
        contains.iter().any(|word| lower.contains(word))
    }
}
