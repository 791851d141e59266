//! What the operator decides: TOML from a file, each key also from the environment as
//! `VOXGATE__SECTION__KEY`, over defaults that work with neither.
//!
//! An unknown key, a value of the wrong type or an unreadable file is refused with the key, where it
//! came from and, for a misspelt key, the nearest known one. `config/voxgate.example.toml` shows every
//! key with its default; a test keeps the two equal.

mod sections;
mod unknown;

use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat};
use serde::Deserialize;

pub use sections::*;
pub use unknown::nearest;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub gateway: Gateway,
    pub admin: Admin,
    pub database: Database,
    pub vault: VaultFiles,
    pub record: Record,
    pub log: Log,
    pub auth: Auth,
    pub providers: Providers,
    /// What errors call the place these were written: the file.
    #[serde(skip)]
    pub origin: String,
}

/// Why the configuration cannot be used. Each names the key and where it was written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{origin}: {message}")]
    Syntax { origin: String, message: String },
    #[error("{origin}: {key}: {message}")]
    Key {
        origin: String,
        key: String,
        message: String,
    },
}

const PREFIX: &str = "VOXGATE";

/// An account of a syntax error without the line it quotes, which may hold a key.
fn unquoted(account: &str) -> String {
    let is_quote = |line: &str| {
        line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit())
            .starts_with('|')
    };
    let told: Vec<_> = account.trim().lines().filter(|line| !is_quote(line)).collect();
    told.join(": ")
}

impl Settings {
    /// Reads `file` (if any) and the environment.
    pub fn read(file: Option<&Path>) -> Result<Self, SettingsError> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
                path: path.to_owned(),
                source,
            })?,
            None => String::new(),
        };
        let origin = file.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
        // What is not Unicode is none of ours, and no reason to stop.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::parse(&origin, &text, environment.collect())
    }

    /// The same from a text and an explicit environment; `origin` is what errors call the text.
    pub fn parse(
        origin: &str,
        text: &str,
        environment: std::collections::HashMap<String, String>,
    ) -> Result<Self, SettingsError> {
        let named: Vec<String> = environment
            .keys()
            .filter(|name| name.starts_with("VOXGATE__"))
            .map(|name| name.to_lowercase().replace("__", ".").replacen("voxgate.", "", 1))
            .collect();
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator("__")
            .separator("__")
            .source(Some(environment));
        let layers = Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(environment)
            .build()
            .map_err(|error| SettingsError::Syntax {
                origin: origin.to_owned(),
                message: unquoted(&error.to_string()),
            })?;
        let mut settings: Settings = serde_path_to_error::deserialize(layers)
            .map_err(|error| unknown::explain(origin, &named, &error))?;
        settings.consistent(origin)?;
        origin.clone_into(&mut settings.origin);
        Ok(settings)
    }

    /// What no single section can see.
    fn consistent(&self, origin: &str) -> Result<(), SettingsError> {
        let wrong = |key: String, message: &str| {
            Err(SettingsError::Key {
                origin: origin.to_owned(),
                key,
                message: message.to_owned(),
            })
        };
        for (key, seconds, most) in self.gateway.limited() {
            if !(1..=most).contains(&seconds) {
                return wrong(format!("gateway.{key}"), &format!("must be 1 to {most} seconds"));
            }
        }
        for (id, provider) in &self.providers.each {
            if provider.api_key.is_some() && provider.api_key_file.is_some() {
                return wrong(
                    format!("providers.{id}.api_key_file"),
                    "give api_key or api_key_file, not both",
                );
            }
        }
        let is_address = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if self
            .admin
            .public_url
            .as_deref()
            .is_some_and(|url| !is_address(url))
        {
            return wrong(
                "admin.public_url".to_owned(),
                "must begin with http:// or https://",
            );
        }
        for (index, issuer) in self.auth.jwt.iter().enumerate() {
            let sources = [&issuer.secret_file, &issuer.public_key_file]
                .iter()
                .filter(|f| f.is_some())
                .count()
                + usize::from(issuer.jwks_url.is_some());
            if sources != 1 {
                return wrong(
                    format!("auth.jwt[{index}]"),
                    "give exactly one of jwks_url, secret_file and public_key_file",
                );
            }
            if issuer.algorithms.is_empty() {
                return wrong(
                    format!("auth.jwt[{index}].algorithms"),
                    "name at least one algorithm",
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
