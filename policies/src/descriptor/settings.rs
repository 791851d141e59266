//! What a key needs beside itself, and the only place where a host name is made from it.
//!
//! A setting that fills a hole of a host is one lower-case ASCII DNS label, checked here twice: when it is
//! given, and again when the hole is filled. `/`, `#`, `@`, `:`, dots, upper case and look-alikes therefore
//! cannot move a key to another host, whatever reached the database. A setting that is a whole URL must be one of
//! those that the operator lists, which is checked in both places too.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::nearest;
use super::origin::{Hosts, Origin};
use super::provider::{HostTemplate, Provider};

/// A credential's settings.
pub type Settings = BTreeMap<String, String>;

/// One thing a key needs beside itself, such as a region.
#[derive(Clone, Debug)]
pub struct Setting {
    pub name: String,
    pub title: String,
    pub help: String,
    pub required: bool,
    /// Required only while this other setting has no value.
    pub required_unless: Option<String>,
    pub default: Option<String>,
    pub shape: Shape,
    /// Values known to work. Others are allowed when the shape fits.
    pub known: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One DNS label: lower-case ASCII letters and digits, inner hyphens where allowed.
    Label {
        min: usize,
        max: usize,
        hyphens: bool,
    },
    OneOf(Vec<String>),
    /// The URL of a host that only the operator can name. It stands for a whole host, never for part of one.
    OperatorUrl {
        /// The key of the configuration that lists them.
        listed_at: String,
        urls: Vec<Origin>,
    },
}

/// Text with `{setting}` holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {message}")]
pub struct SettingsError {
    pub setting: String,
    pub message: String,
}

impl SettingsError {
    fn new(setting: &str, message: impl Into<String>) -> Self {
        Self {
            setting: setting.to_owned(),
            message: message.into(),
        }
    }
}

/// Longest label that DNS knows.
pub(super) const LONGEST_LABEL: usize = 63;

fn is_label(text: &str, min: usize, max: usize, hyphens: bool) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || (hyphens && b == b'-');
    (min.max(1)..=max.min(LONGEST_LABEL)).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl Shape {
    fn check(&self, value: &str) -> Result<(), String> {
        match self {
            Shape::Label { min, max, hyphens } if !is_label(value, *min, *max, *hyphens) => {
                let hyphens = if *hyphens {
                    ", digits and inner hyphens"
                } else {
                    " and digits"
                };
                Err(format!(
                    "must be {min} to {max} lower-case ASCII letters{hyphens}"
                ))
            }
            Shape::OneOf(words) if !words.iter().any(|word| word == value) => {
                Err(format!("must be one of {}", words.join(", ")))
            }
            Shape::OperatorUrl { listed_at, urls } => listed(value, listed_at, urls).map(drop),
            Shape::Label { .. } | Shape::OneOf(_) => Ok(()),
        }
    }

    /// Whether a value of this shape may become part of a host.
    pub fn fits_a_host(&self) -> bool {
        match self {
            Shape::Label { .. } => true,
            Shape::OneOf(words) => words.iter().all(|word| is_label(word, 1, LONGEST_LABEL, true)),
            Shape::OperatorUrl { .. } => false,
        }
    }

    /// A value of this shape, for trying templates out.
    pub fn sample(&self) -> String {
        match self {
            Shape::Label { min, .. } => "a".repeat((*min).max(1)),
            Shape::OneOf(words) => words.first().cloned().unwrap_or_default(),
            Shape::OperatorUrl { urls, .. } => urls.first().map(Origin::to_string).unwrap_or_default(),
        }
    }
}

/// The origin that a value spells, if the operator lists it.
fn listed(value: &str, listed_at: &str, urls: &[Origin]) -> Result<Origin, String> {
    let given = value.parse().ok();
    if let Some(origin) = given.filter(|origin| urls.contains(origin)) {
        return Ok(origin);
    }
    if urls.is_empty() {
        return Err(format!(
            "must be a URL that the operator allows; none is listed in the configuration, at {listed_at}"
        ));
    }
    let urls: Vec<_> = urls.iter().map(Origin::to_string).collect();
    Err(format!(
        "must be one of {}, which the operator lists in the configuration, at {listed_at}",
        urls.join(", ")
    ))
}

impl Setting {
    /// Whether a value has this setting's shape, or what is wrong with it.
    pub fn check(&self, value: &str) -> Result<(), String> {
        self.shape.check(value)
    }

    fn is_required(&self, given: &Settings) -> bool {
        self.required
            || self
                .required_unless
                .as_ref()
                .is_some_and(|other| !given.contains_key(other))
    }
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, hole)) = rest.split_once('{') {
            let (name, after) = hole.split_once('}').ok_or("a hole ends with }")?;
            if name.is_empty() || name.contains('{') {
                return Err("a hole names a setting");
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Hole(name.to_owned()));
            rest = after;
        }
        if rest.contains('}') {
            return Err("a } stands without its {");
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Hole(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The setting whose hole is all there is.
    pub(super) fn only_hole(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Text(before), Piece::Hole(name), Piece::Text(after)]
                if before.is_empty() && after.is_empty() =>
            {
                Some(name)
            }
            _ => None,
        }
    }

    /// The origin with every hole filled. `known` are the provider's settings.
    pub fn fill(&self, settings: &Settings, known: &[Setting]) -> Result<Origin, SettingsError> {
        if let Some(hole) = self.only_hole()
            && let Some(setting) = known.iter().find(|setting| setting.name == hole)
            && let Shape::OperatorUrl { listed_at, urls } = &setting.shape
        {
            let value = settings.get(hole).ok_or_else(|| unfilled(hole))?;
            return listed(value, listed_at, urls).map_err(|message| SettingsError::new(hole, message));
        }
        let mut text = String::with_capacity(64);
        for piece in &self.0 {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Hole(name) => text.push_str(label(name, settings)?),
            }
        }
        let blamed = self.holes().next().unwrap_or("host");
        text.parse()
            .map_err(|error: super::OriginError| SettingsError::new(blamed, error.to_string()))
    }
}

fn unfilled(name: &str) -> SettingsError {
    SettingsError::new(name, "is needed to know the provider's host")
}

/// The value for a hole of a host, refused unless it is one DNS label.
fn label<'s>(name: &str, settings: &'s Settings) -> Result<&'s str, SettingsError> {
    match settings.get(name) {
        None => Err(unfilled(name)),
        Some(value) if !is_label(value, 1, LONGEST_LABEL, true) => {
            Err(SettingsError::new(name, "must be one lower-case ASCII DNS label"))
        }
        Some(value) => Ok(value),
    }
}

impl HostTemplate {
    pub fn new(url: Template) -> Self {
        let mut host = Self {
            url,
            variants: Vec::new(),
            fixed: None,
        };
        host.settle();
        host
    }

    /// Remembers the origin of a template that no setting changes.
    pub(super) fn settle(&mut self) {
        let changes = !self.variants.is_empty() || self.url.holes().next().is_some();
        self.fixed = if changes {
            None
        } else {
            self.url.fill(&Settings::new(), &[]).ok().map(Arc::new)
        };
    }

    fn origin(&self, settings: &Settings, known: &[Setting]) -> Result<Arc<Origin>, SettingsError> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let holds = |when: &BTreeMap<String, Option<String>>| {
            when.iter().all(|(name, is)| match (settings.get(name), is) {
                (Some(value), Some(is)) => value == is,
                (Some(_), None) => true,
                (None, _) => false,
            })
        };
        let chosen = self.variants.iter().find(|variant| holds(&variant.when));
        chosen
            .map_or(&self.url, |variant| &variant.url)
            .fill(settings, known)
            .map(Arc::new)
    }
}

impl Provider {
    /// Checks what was given against the settings' shapes and fills defaults in.
    pub fn settings(&self, given: &Settings) -> Result<Settings, SettingsError> {
        for name in given.keys() {
            if !self.settings.iter().any(|setting| setting.name == *name) {
                let names = self.settings.iter().map(|setting| setting.name.as_str());
                return Err(SettingsError::new(name, unknown_setting(name, names)));
            }
        }
        let mut settings = Settings::new();
        for setting in &self.settings {
            match given.get(&setting.name).or(setting.default.as_ref()) {
                Some(value) => {
                    setting
                        .check(value)
                        .map_err(|message| SettingsError::new(&setting.name, message))?;
                    settings.insert(setting.name.clone(), value.clone());
                }
                None if setting.is_required(given) => {
                    return Err(SettingsError::new(&setting.name, missing_setting(setting)));
                }
                None => {}
            }
        }
        self.hosts(&settings)?;
        Ok(settings)
    }

    /// Every host with the settings filled in. The only place where a host name is made.
    pub fn hosts(&self, settings: &Settings) -> Result<Hosts, SettingsError> {
        let filled = |(name, host): (&String, &HostTemplate)| {
            Ok((name.clone(), host.origin(settings, &self.settings)?))
        };
        Ok(Hosts(
            self.hosts
                .iter()
                .map(filled)
                .collect::<Result<_, SettingsError>>()?,
        ))
    }
}

fn unknown_setting<'a>(name: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(name, names.clone()) {
        Some(near) => format!("is not a setting of this provider; did you mean {near}?"),
        None if names.clone().next().is_none() => {
            "is not a setting of this provider, which has none".to_owned()
        }
        None => format!(
            "is not a setting of this provider, which has {}",
            names.collect::<Vec<_>>().join(", ")
        ),
    }
}

fn missing_setting(setting: &Setting) -> String {
    match &setting.required_unless {
        Some(other) => format!("is missing; give it, or {other}"),
        None => "is missing".to_owned(),
    }
}
