//! What is wrong with a provider file: each problem with its file, line and key.

use std::fmt;

use super::nearest;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DescriptorErrors(pub Vec<DescriptorError>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorError {
    pub file: String,
    /// Dotted, list places counted from 0: `endpoints.3.path`. Empty for the file as a whole.
    pub key: String,
    pub line: Option<usize>,
    pub message: String,
}

impl DescriptorErrors {
    pub fn one(file: &str, key: &str, message: impl Into<String>) -> Self {
        Self(vec![DescriptorError {
            file: file.to_owned(),
            key: key.to_owned(),
            line: None,
            message: message.into(),
        }])
    }
}

impl fmt::Display for DescriptorErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, error) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Problems found while one file is read, collected so that all of them are told at once.
pub(super) struct Findings<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<DescriptorError>,
}

impl<'t> Findings<'t> {
    pub fn new(file: &'t str, text: &'t str) -> Self {
        Self {
            file,
            text,
            found: Vec::new(),
        }
    }

    pub fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let key = key.into();
        let line = line_of_key(self.text, &key);
        self.found.push(DescriptorError {
            file: self.file.to_owned(),
            key,
            line,
            message: message.into(),
        });
    }

    /// A failure of the TOML reader, which knows its own place in the text.
    pub fn add_unreadable(&mut self, key: String, error: &toml::de::Error) {
        let line = error.span().map(|span| line_of_offset(self.text, span.start));
        let message = with_suggestion(error.message());
        self.found.push(DescriptorError {
            file: self.file.to_owned(),
            key,
            line,
            message,
        });
    }

    /// The value if it is one; a problem at `key` and nothing otherwise.
    pub fn take<T, E: fmt::Display>(&mut self, key: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(key, error.to_string())).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn into_errors(self) -> DescriptorErrors {
        DescriptorErrors(self.found)
    }
}

fn line_of_offset(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

/// Follows a dotted key through the text as far as it goes.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    use toml::de::{DeTable, DeValue};
    let root = DeTable::parse(text).ok()?;
    let mut offset = None;
    let mut table = Some(root.get_ref());
    let mut list = None;
    for step in key.split('.').filter(|step| !step.is_empty()) {
        let value = match (table.take(), list.take()) {
            (Some(members), _) => members.get_key_value(step).map(|(name, value)| {
                offset = Some(name.span().start);
                value
            }),
            (None, Some(items)) => step
                .parse::<usize>()
                .ok()
                .and_then(|nth| <[_]>::get(items, nth))
                .inspect(|value: &&toml::Spanned<DeValue<'_>>| offset = Some(value.span().start)),
            (None, None) => None,
        };
        match value.map(|value| value.get_ref()) {
            Some(DeValue::Table(members)) => table = Some(members),
            Some(DeValue::Array(items)) => list = Some(items),
            _ => {}
        }
    }
    offset.map(|offset| line_of_offset(text, offset))
}

/// Adds the nearest name to "unknown field `x`, expected one of `a`, `b`".
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (Some(given), true) = (quoted.next(), message.starts_with("unknown ")) else {
        return message.to_owned();
    };
    match nearest(given, quoted.collect::<Vec<_>>().into_iter()) {
        Some(near) => format!("{message}; did you mean `{near}`?"),
        None => message.to_owned(),
    }
}
