//! `voxgate check`: reads configuration, provider files, database and master key, and says what is wrong.
//!
//! Everything is looked at, whatever is found first, and nothing is changed: no database, master key or
//! migration comes into being here. Problems go to stderr and end in exit code 1; remarks go to stdout.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use policies::descriptor::{Origin, Providers};
use vault::{Checkable, SystemKey, Vault};

use super::{Common, runtime};
use crate::settings::{Issuer, Settings};
use crate::{log, wiring};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// What the look around brought up.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    remarks: Vec<String>,
}

impl Findings {
    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    fn remark(&mut self, what: impl Into<String>) {
        self.remarks.push(what.into());
    }

    /// The value, or a problem.
    fn expect<T>(&mut self, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|error| self.problem(format!("{error:#}"))).ok()
    }
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = arguments.common.settings()?;
    let mut findings = Findings::default();
    runtime()?.block_on(look_around(&settings, &mut findings));
    for remark in &findings.remarks {
        println!("{remark}");
    }
    for problem in &findings.problems {
        eprintln!("voxgate: {problem}");
    }
    if findings.problems.is_empty() {
        println!("everything is fine");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

async fn look_around(settings: &Settings, findings: &mut Findings) {
    look_at_log(settings, findings);
    look_at_origins(settings, findings);
    look_at_tls(settings, findings);
    look_at_issuers(settings, findings);
    look_at_namespaces(settings, findings);
    let providers = findings.expect(wiring::providers(settings));
    let system = providers
        .as_ref()
        .and_then(|all| findings.expect(wiring::system_keys(settings, all)));
    let (Some(providers), Some(system)) = (providers, system) else {
        return;
    };
    if let Some(vault) = look_at_the_vault(settings, providers, system, findings).await {
        vault.close().await;
    }
}

fn look_at_log(settings: &Settings, findings: &mut Findings) {
    findings.expect(log::level(&settings.log.level).with_context(|| settings.origin.clone()));
}

fn look_at_origins(settings: &Settings, findings: &mut Findings) {
    let checked = gateway::check_origins(&settings.gateway.cors_origins);
    findings.expect(checked.with_context(|| format!("{}: gateway.cors_origins", settings.origin)));
}

fn look_at_tls(settings: &Settings, findings: &mut Findings) {
    let origin = &settings.origin;
    if let Some(tls) = &settings.gateway.tls {
        let files = gateway::TlsFiles {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
        };
        if let Err(error) = files.check() {
            findings.problem(format!("{origin}: gateway.tls: {:#}", anyhow::Error::new(error)));
        }
    }
    if let Some(file) = &settings.gateway.ca_file
        && let Err(error) = std::fs::read(file)
    {
        findings.problem(format!(
            "{origin}: gateway.ca_file: cannot read {}: {error}",
            file.display()
        ));
    }
}

/// Their keys where they are files; an address is not asked.
fn look_at_issuers(settings: &Settings, findings: &mut Findings) {
    let Some(issuers) = findings.expect(wiring::issuers(settings)) else {
        return;
    };
    if let Err(error) = callers::check(issuers) {
        findings.problem(format!(
            "{}: auth.jwt: {:#}",
            settings.origin,
            anyhow::Error::new(error)
        ));
    }
}

/// Issuers of which one's prefix begins another's can name each other's users: `corp` and user `2/ada` read like
/// `corp2/` and user `ada`.
fn look_at_namespaces(settings: &Settings, findings: &mut Findings) {
    let issuers = &settings.auth.jwt;
    let shares = |at: usize, one: &Issuer| {
        issuers[at + 1..].iter().any(|other| {
            let (one, other) = (&one.user_prefix, &other.user_prefix);
            one.starts_with(other) || other.starts_with(one)
        })
    };
    if issuers.iter().enumerate().any(|(at, one)| shares(at, one)) {
        findings.remark(
            "auth.jwt: several issuers share one namespace of users, so that a user of one is a user of the other; \
             give each a user_prefix of its own, with which no other begins, to keep them apart",
        );
    }
    for url in issuers.iter().filter_map(|issuer| issuer.jwks_url.as_deref()) {
        let place: Option<Origin> = url.parse().ok();
        if place.is_some_and(|place| !place.https && !place.is_loopback()) {
            findings.remark(format!(
                "auth.jwt: {url} is not https, so whoever can answer in its place decides who everybody is"
            ));
        }
    }
}

async fn look_at_the_vault(
    settings: &Settings,
    providers: Providers,
    system: Vec<SystemKey>,
    findings: &mut Findings,
) -> Option<Vault> {
    if wiring::sqlite_file(&settings.database.url).is_some_and(|file| !file.exists()) {
        findings.remark(format!(
            "database.url: {} is not there yet; serve makes it",
            settings.database.url
        ));
        return None;
    }
    let opened = Vault::open_to_check(wiring::vault_settings(settings), Arc::new(providers), system).await;
    let vault = match opened {
        Ok(Checkable::Vault(vault)) => vault,
        Ok(Checkable::Nothing) => {
            findings.remark("the database holds nothing yet; serve prepares it and makes the master key");
            return None;
        }
        Ok(Checkable::Pending(migrations)) => {
            findings.remark(format!(
                "the database lacks {migrations} migration(s); serve applies them"
            ));
            return None;
        }
        Err(error) => {
            findings.problem(format!("{:#}", anyhow::Error::new(error)));
            return None;
        }
    };
    match vault.check().await {
        Ok(broken) => {
            for found in broken {
                let (id, owner, provider) = (found.id, found.owner, found.provider);
                findings.problem(format!(
                    "credential {id} of {owner} for {provider}: {}",
                    found.what
                ));
            }
        }
        Err(error) => findings.problem(format!("{:#}", anyhow::Error::new(error))),
    }
    Some(vault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks(issuers: &[(&str, &str)]) -> Vec<String> {
        let text: String = issuers
            .iter()
            .enumerate()
            .map(|(n, (prefix, url))| {
                format!(
                    "[[auth.jwt]]\nissuer = \"{n}\"\naudience = \"a\"\nalgorithms = [\"RS256\"]\n\
                     jwks_url = \"{url}\"\nuser_prefix = \"{prefix}\"\n"
                )
            })
            .collect();
        let settings = Settings::parse("x.toml", &text, Default::default()).unwrap();
        let mut findings = Findings::default();
        look_at_namespaces(&settings, &mut findings);
        findings.remarks
    }

    #[test]
    fn issuers_that_can_name_each_others_users_are_remarked() {
        const URL: &str = "https://id.example.com/jwks";
        for (prefixes, shared) in [
            (["", ""], true),
            (["", "corp/"], true),
            (["corp", "corp2/"], true),
            (["corp2/", "corp"], true),
            (["corp/", "corp2/"], false),
        ] {
            let found = remarks(&prefixes.map(|prefix| (prefix, URL)));
            assert_eq!(!found.is_empty(), shared, "{prefixes:?}: {found:?}");
        }
    }

    #[test]
    fn keys_of_an_issuer_over_plain_http_are_remarked() {
        for (url, plain) in [
            ("http://id.example.com/jwks", true),
            ("https://id.example.com/jwks", false),
            ("http://127.0.0.1:9/jwks", false),
        ] {
            assert_eq!(!remarks(&[("", url)]).is_empty(), plain, "{url}");
        }
    }
}
