//! Turns serde's complaint into one that a person can act on: which key, written where, what it should be.

use config::ConfigError;

use super::SettingsError;

/// `from_environment` are the dotted keys that came from the environment.
pub fn explain(
    origin: &str,
    from_environment: &[String],
    error: &serde_path_to_error::Error<ConfigError>,
) -> SettingsError {
    let text = error.inner().to_string();
    let path = error.path().to_string();
    let words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let (key, message) = match (text.contains("unknown field"), words.split_first()) {
        (true, Some((unknown, known))) => {
            let message = format!("unknown key; {}", nearest(unknown, known));
            (join(&path, unknown), message)
        }
        _ => match missing(&text) {
            Some(field) => (join(&path, field), "is missing".to_owned()),
            None => (path.clone(), expected(&text)),
        },
    };
    let origin = if from_environment.iter().any(|name| name == &key) {
        format!(
            "environment variable VOXGATE__{}",
            key.to_uppercase().replace('.', "__")
        )
    } else {
        origin.to_owned()
    };
    SettingsError::Key { origin, key, message }
}

fn join(path: &str, field: &str) -> String {
    match path {
        "." | "" => field.to_owned(),
        path if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
        path => format!("{path}.{field}"),
    }
}

/// The last part of the key in `missing configuration field "auth.jwt[0]audience"`.
fn missing(text: &str) -> Option<&str> {
    let (_, quoted) = text.split_once("missing configuration field \"")?;
    quoted.trim_end_matches('"').rsplit(['.', ']']).next()
}

pub fn nearest(unknown: &str, known: &[&str]) -> String {
    match known
        .iter()
        .max_by(|a, b| closeness(unknown, a).total_cmp(&closeness(unknown, b)))
    {
        Some(candidate) => format!("the nearest known one is `{candidate}`"),
        None => "this section has none".to_owned(),
    }
}

fn closeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

/// What was expected, without repeating the value: a key pasted into the wrong place must not be printed.
fn expected(text: &str) -> String {
    if let Some((_, expected)) = text.rsplit_once("expected ") {
        let expected = expected.split(" for key ").next().unwrap_or(expected);
        return format!("expected {}", expected.trim());
    }
    "this value cannot be used here".to_owned()
}
