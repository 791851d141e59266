//! How long a provider asks to wait: the `retry-after` header, else where the descriptor says to look.

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use serde_json::Value;

use super::verdict::Body;
use crate::descriptor::Provider;

/// A longer wait is no hint for a retry but a mistake in reading or in the provider.
const LONGEST: f64 = 86_400.0;

/// Whole seconds, rounded up.
pub fn retry_after(provider: &Provider, headers: &HeaderMap, body: &[u8]) -> Option<u32> {
    in_header(headers)
        .or_else(|| in_body(provider, body))
        .filter(|s| (0.0..=LONGEST).contains(s))
        .map(|s| s.ceil() as u32)
}

/// Seconds, or a date that is compared with the answer's own.
fn in_header(headers: &HeaderMap) -> Option<f64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(seconds);
    }
    let date = |text: &str| chrono::DateTime::parse_from_rfc2822(text).ok();
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    Some((date(text)? - now).num_seconds().max(0) as f64)
}

fn in_body(provider: &Provider, body: &[u8]) -> Option<f64> {
    let hints = &provider.retry;
    if hints.at.is_empty() && hints.sentences.is_empty() {
        return None;
    }
    let body = Body::new(body);
    let root = body.json()?;
    let direct = hints.at.iter().find_map(|at| match at.first(root)? {
        Value::String(text) => duration(text),
        Value::Number(seconds) => seconds.as_f64(),
        _ => None,
    });
    direct.or_else(|| {
        hints.sentences.iter().find_map(|at| {
            let sentence = at.text(root)?.to_lowercase();
            let after = |phrase: &String| {
                sentence
                    .split_once(phrase.as_str())
                    .and_then(|(_, rest)| duration(rest))
            };
            hints.phrases.iter().find_map(after)
        })
    })
}

/// Seconds at the start of a text: `27s`, `27.5s`, `350ms`, `5 seconds`, `2 minutes`. A bare number counts
/// as seconds.
pub(crate) fn duration(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].trim_end_matches('.').parse().ok()?;
    let unit = text[end..].trim_start();
    Some(if unit.starts_with("ms") || unit.starts_with("milli") {
        number / 1000.0
    } else if unit.starts_with('m') {
        number * 60.0
    } else if unit.starts_with('h') {
        number * 3600.0
    } else {
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_from_the_start_of_a_text() {
        for (text, seconds) in [
            ("27s", 27.0),
            ("27.5s", 27.5),
            ("350ms", 0.35),
            (" 5 seconds.", 5.0),
            ("2 minutes", 120.0),
            ("1h", 3600.0),
            ("9.", 9.0),
        ] {
            assert_eq!(duration(text), Some(seconds), "{text}");
        }
        assert_eq!(duration("soon"), None);
    }

    #[test]
    fn a_date_is_compared_with_the_answers_own() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "Sun, 22 Nov 2026 10:00:30 GMT".parse().unwrap());
        assert_eq!(in_header(&headers), None);
        headers.insert(DATE, "Sun, 22 Nov 2026 10:00:00 GMT".parse().unwrap());
        assert_eq!(in_header(&headers), Some(30.0));
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(in_header(&headers), Some(7.0));
    }
}
