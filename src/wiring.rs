//! From what is configured to the parts that run: providers, system-level keys, issuers, the vault.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use callers::{IssuerKey, IssuerSettings};
use policies::descriptor::{Providers, SettingsError, TimeoutOverrides};
use vault::{Secret, SystemClock, SystemKey, Vault, VaultSettings};

use crate::settings::{Issuer, ProviderOverrides, Settings, nearest};

const JOURNAL_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The built-in providers, those of `providers.extra`, and what the configuration overrides of either.
pub fn providers(settings: &Settings) -> anyhow::Result<Providers> {
    all_providers(settings).with_context(|| settings.origin.clone())
}

fn all_providers(settings: &Settings) -> anyhow::Result<Providers> {
    let mut providers = Providers::built_in()?;
    for file in extra_files(&settings.providers.extra)? {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("providers.extra: cannot read {}", file.display()))?;
        providers = providers.with_file(&file.display().to_string(), &text)?;
    }
    for (id, overrides) in &settings.providers.each {
        if providers.get(id).is_none() {
            let known: Vec<&str> = providers.iter().map(|provider| provider.id.as_str()).collect();
            bail!(
                "providers.{id}: there is no such provider; {}",
                nearest(id, &known)
            );
        }
        providers = providers.with_base_urls(id, &overrides.base_urls)?;
        providers = providers.with_hosts(id, &overrides.hosts)?;
        providers = providers.with_timeouts(id, timeouts(overrides))?;
    }
    Ok(providers)
}

fn extra_files(patterns: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for pattern in patterns {
        let found =
            glob::glob(pattern).with_context(|| format!("providers.extra: `{pattern}` is not a pattern"))?;
        let before = files.len();
        for file in found {
            files.push(file.with_context(|| format!("providers.extra: `{pattern}`"))?);
        }
        if files.len() == before && !pattern.contains(['*', '?', '[']) {
            bail!("providers.extra: there is no file {pattern}");
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn timeouts(overrides: &ProviderOverrides) -> TimeoutOverrides {
    let seconds = |value: Option<u64>| value.map(Duration::from_secs);
    TimeoutOverrides {
        connect: seconds(overrides.timeouts.connect_seconds),
        first_byte: seconds(overrides.timeouts.first_byte_seconds),
        idle: seconds(overrides.timeouts.idle_seconds),
    }
}

/// The system-level keys of `[providers.*]`, each bound to the hosts that its settings give.
pub fn system_keys(settings: &Settings, providers: &Providers) -> anyhow::Result<Vec<SystemKey>> {
    let configured = settings.providers.each.iter();
    configured
        .filter_map(|(id, overrides)| system_key(id, overrides, providers).transpose())
        .collect::<anyhow::Result<_>>()
        .with_context(|| settings.origin.clone())
}

fn system_key(
    id: &str,
    configured: &ProviderOverrides,
    providers: &Providers,
) -> anyhow::Result<Option<SystemKey>> {
    let Some(secret) = system_secret(id, configured)? else {
        return Ok(None);
    };
    let provider = providers
        .get(id)
        .with_context(|| format!("providers.{id}: there is no such provider"))?;
    let wrong = |error: SettingsError| {
        anyhow::anyhow!("providers.{id}.settings.{}: {}", error.setting, error.message)
    };
    let settings = provider.settings(&configured.settings).map_err(wrong)?;
    let hosts = provider.hosts(&settings).map_err(wrong)?;
    Ok(Some(SystemKey {
        provider: provider.id.clone(),
        secret,
        settings,
        hosts,
    }))
}

fn system_secret(id: &str, configured: &ProviderOverrides) -> anyhow::Result<Option<Secret>> {
    if let Some(key) = &configured.api_key {
        if key.expose().trim().is_empty() {
            bail!("providers.{id}.api_key: is empty; leave it out when there is no system-level key");
        }
        return Ok(Some(Secret::new(key.expose().trim().to_owned())));
    }
    let Some(file) = &configured.api_key_file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("providers.{id}.api_key_file: cannot read {}", file.display()))?;
    let text = zeroize::Zeroizing::new(text);
    if text.trim().is_empty() {
        bail!("providers.{id}.api_key_file: {} is empty", file.display());
    }
    Ok(Some(Secret::new(text.trim().to_owned())))
}

pub fn issuers(settings: &Settings) -> anyhow::Result<Vec<IssuerSettings>> {
    settings
        .auth
        .jwt
        .iter()
        .enumerate()
        .map(|(index, issuer)| one_issuer(index, issuer))
        .collect::<anyhow::Result<_>>()
        .with_context(|| settings.origin.clone())
}

fn one_issuer(index: usize, issuer: &Issuer) -> anyhow::Result<IssuerSettings> {
    let key = if let Some(url) = &issuer.jwks_url {
        let url = url::Url::parse(url)
            .with_context(|| format!("auth.jwt[{index}].jwks_url: `{url}` is not a URL"))?;
        IssuerKey::JwksUrl(url)
    } else if let Some(file) = &issuer.secret_file {
        IssuerKey::SecretFile(file.clone())
    } else if let Some(file) = &issuer.public_key_file {
        IssuerKey::PublicKeyFile(file.clone())
    } else {
        bail!("auth.jwt[{index}]: give one of jwks_url, secret_file and public_key_file");
    };
    Ok(IssuerSettings {
        issuer: issuer.issuer.clone(),
        audience: issuer.audience.clone(),
        algorithms: issuer.algorithms.clone(),
        key,
        user_claim: issuer.user_claim.clone(),
        user_prefix: issuer.user_prefix.clone(),
        roles_claim: issuer.roles_claim.clone(),
        teams_claim: issuer.teams_claim.clone(),
        team_admin_claim: issuer.team_admin_claim.clone(),
        leeway: Duration::from_secs(30),
    })
}

pub fn vault_settings(settings: &Settings) -> VaultSettings {
    VaultSettings {
        url: settings.database.url.clone(),
        max_connections: settings.database.max_connections,
        master_key_file: settings.vault.master_key_file.clone(),
        migrate: settings.database.migrate,
        journal: journal(settings),
        journal_max_bytes: JOURNAL_MAX_BYTES,
        clock: Arc::new(SystemClock),
    }
}

/// Beside the SQLite database and named after it; with Postgres in `voxgate-data`, named after the gateway's
/// port, so that two nodes on one machine do not meet in one file.
fn journal(settings: &Settings) -> PathBuf {
    if let Some(file) = &settings.record.journal {
        return file.clone();
    }
    match sqlite_file(&settings.database.url) {
        Some(database) => {
            let mut name = database.into_os_string();
            name.push(".usage");
            PathBuf::from(name)
        }
        None => Path::new("voxgate-data").join(format!("usage-{}.journal", settings.gateway.listen.port())),
    }
}

/// The file of an SQLite database; `None` for any other database and for one in memory.
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split('?').next().unwrap_or(path);
    (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
}

/// The vault for a command that runs beside a server: without the recorder.
pub async fn open_vault_for_a_command(settings: &Settings) -> anyhow::Result<Vault> {
    let providers = providers(settings)?;
    let system = system_keys(settings, &providers)?;
    Ok(Vault::open_for_command(vault_settings(settings), Arc::new(providers), system).await?)
}

/// Closes the vault whichever way the command went.
pub async fn closing<T>(vault: Vault, result: anyhow::Result<T>) -> anyhow::Result<T> {
    vault.close().await;
    result
}

/// Where people reach the admin listener.
pub fn public_url(settings: &Settings) -> String {
    let configured = settings.admin.public_url.clone();
    let url = configured.unwrap_or_else(|| format!("http://{}", settings.admin.listen));
    url.trim_end_matches('/').to_owned()
}
