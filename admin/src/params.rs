//! What a caller sends beside the path, parsed at the edge: query parameters and JSON bodies.
//!
//! Both name what is wrong and refuse what they do not know. Neither repeats a value it was given: a key
//! pasted into the wrong field must not come back in an error or reach the log.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use http::request::Parts;
use http::{StatusCode, header};
use policies::vocabulary::Code;
use serde::de::DeserializeOwned;
use vault::PageRequest;

use crate::problem::Problem;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// The query. Every call takes what it knows and then [`finish`](Params::finish)es.
#[derive(Debug)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut params = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if params.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Problem::invalid(shown(&name), "this parameter is given twice"));
            }
        }
        Ok(Self(params))
    }

    /// An empty parameter is as if absent.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// One of a closed set of words.
    pub fn word<T>(
        &mut self,
        name: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        parse(&text)
            .map(Some)
            .ok_or_else(|| Problem::invalid(name, format!("`{name}` has an unknown value")))
    }

    fn limit(&mut self) -> Result<u32, Problem> {
        let Some(text) = self.take("limit") else {
            return Ok(LIMIT_DEFAULT);
        };
        match text.parse() {
            Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
            _ => Err(Problem::invalid(
                "limit",
                format!("`limit` is a number from 1 to {LIMIT_MAX}"),
            )),
        }
    }

    pub fn page(&mut self) -> Result<PageRequest, Problem> {
        Ok(PageRequest {
            cursor: self.take("cursor"),
            limit: self.limit()?,
        })
    }

    /// The first moment of a span: a time, or the midnight that begins a date.
    pub fn from(&mut self) -> Result<Option<DateTime<Utc>>, Problem> {
        self.moment("from", 0)
    }

    /// The moment at which a span is over: a time, or the midnight that ends a date.
    pub fn to(&mut self) -> Result<Option<DateTime<Utc>>, Problem> {
        self.moment("to", 1)
    }

    fn moment(&mut self, name: &'static str, days_of_a_date: u64) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        // An unescaped `+02:00` arrives with a blank for the plus, as forms spell blanks.
        let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+"))
            .ok()
            .map(|time| time.to_utc());
        let date = || {
            let date = text
                .parse::<NaiveDate>()
                .ok()?
                .checked_add_days(Days::new(days_of_a_date))?;
            Some(date.and_time(NaiveTime::MIN).and_utc())
        };
        time.or_else(date).map(Some).ok_or_else(|| {
            Problem::invalid(
                name,
                format!("`{name}` is a date (2026-01-31) or a time (2026-01-31T08:00:00Z)"),
            )
        })
    }

    /// Refuses what nobody took, so that a misspelt filter does not silently widen an answer.
    pub fn finish(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::invalid(
                shown(&name),
                "this call does not know that parameter",
            )),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or(""))
    }
}

/// A JSON body of a known shape.
pub struct Given<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            let problem = Problem::new(
                Code::InvalidRequest,
                "send the body as content-type: application/json",
            );
            return Err(Problem {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ..problem
            });
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::of_status(rejection.status()))?;
        parse(&body).map(Self)
    }
}

fn is_json(request: &Request) -> bool {
    let given = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given.and_then(|text| text.split(';').next()).unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        described(&path, error.inner())
    })?;
    json.end().map_err(|error| described(".", &error))?;
    Ok(parsed)
}

/// serde's account of an error without the value it quotes.
fn described(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        let (line, column) = (error.line(), error.column());
        return Problem::new(
            Code::InvalidRequest,
            format!("the body is not JSON: line {line}, column {column}"),
        );
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let named = text.split('`').nth(1).unwrap_or("");
    let within = if path == "." { "" } else { path };
    if text.starts_with("missing field") {
        let dot = if within.is_empty() { "" } else { "." };
        return Problem::invalid(format!("{within}{dot}{named}"), format!("`{named}` is missing"));
    }
    if text.starts_with("unknown field") {
        return Problem::invalid(shown(path), "this call does not know that field");
    }
    let field = shown(path);
    match text.rsplit_once("expected ") {
        Some((_, expected)) => Problem::invalid(field.clone(), format!("`{field}` should be {expected}")),
        None => Problem::invalid(field.clone(), format!("`{field}` is not valid")),
    }
}

/// A name as an error may repeat it: short, and of the letters that names have. Anything longer may be
/// a key in the wrong place.
pub fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:[]".contains(c);
    if name == "." {
        "body".to_owned()
    } else if name.len() <= 24 && name.chars().all(plain) {
        name.to_owned()
    } else {
        "…".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Put {
        #[expect(dead_code, reason = "only its presence matters here")]
        api_key: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only its shape matters here")]
        settings: BTreeMap<String, String>,
    }

    fn refused(body: &str) -> Problem {
        parse::<Put>(body.as_bytes()).expect_err("the body is wrong")
    }

    #[test]
    fn a_body_error_names_the_field_and_never_the_value() {
        let table = [
            ("{\"settings\":{}}", "api_key"),
            ("{\"api_key\":\"k\",\"extra\":1}", "extra"),
            ("{\"api_key\":4242424242}", "api_key"),
            ("{\"api_key\":\"k\",\"settings\":\"hidden-value\"}", "settings"),
            (
                "{\"api_key\":\"k\",\"settings\":{\"region\":5}}",
                "settings.region",
            ),
            ("[]", "body"),
        ];
        for (body, param) in table {
            let problem = refused(body);
            assert_eq!(problem.param.as_deref(), Some(param), "{body}: {problem:?}");
            assert!(
                !problem.detail.contains("hidden-value") && !problem.detail.contains("4242"),
                "{problem:?}"
            );
        }
    }

    #[test]
    fn a_key_in_the_place_of_a_field_name_does_not_come_back() {
        let problem = refused("{\"api_key\":\"k\",\"sk_0123456789abcdef0123456789abcdef\":1}");
        assert!(
            !format!("{problem:?}").contains("0123456789abcdef"),
            "{problem:?}"
        );
    }

    #[test]
    fn broken_json_and_trailing_text_are_refused() {
        for body in ["", "{", "{\"api_key\":\"k\"} x", "\u{0}"] {
            assert_eq!(refused(body).code, Code::InvalidRequest, "{body:?}");
        }
    }

    #[test]
    fn spans_take_dates_and_times_and_a_last_date_counts_whole() {
        let mut params = Params::parse("from=2026-01-31&to=2026-01-31").expect("well formed");
        let (from, to) = (params.from().expect("a date"), params.to().expect("a date"));
        assert_eq!(
            from.map(|t| t.to_rfc3339()),
            Some("2026-01-31T00:00:00+00:00".to_owned())
        );
        assert_eq!(
            to.map(|t| t.to_rfc3339()),
            Some("2026-02-01T00:00:00+00:00".to_owned())
        );
        let mut params = Params::parse("from=2026-01-31T08:00:00+02:00").expect("well formed");
        assert_eq!(
            params.from().expect("a time").map(|t| t.to_rfc3339()),
            Some("2026-01-31T06:00:00+00:00".into())
        );
        for bad in ["yesterday", "2026-13-01", "2026-01-31T08:00:00", "+262142-12-31"] {
            let mut params = Params::parse(&format!("to={bad}")).expect("well formed");
            assert_eq!(params.to().expect_err(bad).param.as_deref(), Some("to"));
        }
    }

    #[test]
    fn unknown_doubled_and_out_of_range_parameters_are_refused() {
        assert!(Params::parse("a=1&a=2").is_err());
        let left = Params::parse("ownr=x")
            .expect("well formed")
            .finish()
            .expect_err("unknown");
        assert_eq!(left.param.as_deref(), Some("ownr"));
        for bad in ["0", "201", "-1", "ten"] {
            let mut params = Params::parse(&format!("limit={bad}")).expect("well formed");
            assert_eq!(params.limit().expect_err(bad).param.as_deref(), Some("limit"));
        }
        assert_eq!(
            Params::parse("limit=200")
                .expect("well formed")
                .limit()
                .expect("in range"),
            200
        );
        assert_eq!(
            Params::parse("").expect("well formed").limit().expect("default"),
            LIMIT_DEFAULT
        );
    }
}
