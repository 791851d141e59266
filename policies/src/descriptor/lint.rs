//! What only makes sense over a whole descriptor. Everything here guards one of two things: that a key
//! goes to its provider and to listed calls only, and that the data says something at all.

mod answers;
mod sockets;
mod unified;

use std::collections::BTreeSet;

use super::errors::Findings;
use super::provider::*;
use super::registry::check_template;
use super::settings::{Setting, Shape, Template};
use super::{Settings, nearest};
use crate::places;
use crate::vocabulary::Operation;

/// Fragments of paths that mint, show or move secrets, whichever provider they are of.
const MINTS_SECRETS: [&str; 16] = [
    "single-use-token",
    "issuetoken",
    "auth_tokens",
    "auth-tokens",
    "api-keys",
    "api_keys",
    "apikeys",
    "service-accounts",
    "signed-url",
    "signed_url",
    "client_secrets",
    "access-token",
    "access_token",
    "auth/grant",
    "webhook",
    "secrets",
];

pub(super) fn lint(provider: &Provider, findings: &mut Findings<'_>) {
    identity(provider, findings);
    settings(provider, findings);
    hosts(provider, findings);
    key(provider, findings);
    endpoints(provider, findings);
    answers::lint(provider, findings);
    sockets::lint(provider, findings);
    unified::lint(provider, findings);
}

fn identity(provider: &Provider, findings: &mut Findings<'_>) {
    let id = provider.id.as_str();
    let is_id = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_id {
        findings.add(
            "id",
            "an id begins with a lower-case letter and holds these, digits and hyphens",
        );
    }
    if !provider.key_url.starts_with("https://") {
        findings.add("key_url", "the page where people get a key is an https:// URL");
    }
    if provider.operations.is_empty() || provider.operations.contains(&Operation::Lookup) {
        findings.add("operations", "a provider is there for tts, stt or both");
    }
    for root in &provider.root_paths {
        if root.len() < 3 || !root.starts_with('/') || !root.ends_with('/') {
            findings.add(
                "root_paths",
                format!("{root} must begin and end with / and hold a name"),
            );
        }
    }
}

fn settings(provider: &Provider, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (nth, setting) in provider.settings.iter().enumerate() {
        let key = format!("settings.{nth}");
        let is_name =
            !setting.name.is_empty() && setting.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if !is_name || !seen.insert(&setting.name) {
            findings.add(format!("{key}.name"), "a name is lower case and stands once");
        }
        if let Shape::Label { min, max, .. } = &setting.shape
            && min > max
        {
            findings.add(format!("{key}.shape"), "min is more than max");
        }
        if setting.required && setting.default.is_some() {
            findings.add(format!("{key}.default"), "a required setting has no default");
        }
        for value in setting.known.iter().chain(&setting.default) {
            if let Err(reason) = setting.check(value) {
                findings.add(format!("{key}.known"), format!("{value} {reason}"));
            }
        }
        if let Some(other) = &setting.required_unless {
            known_setting(provider, other, &format!("{key}.required_unless"), findings);
        }
    }
}

fn known_setting<'p>(
    provider: &'p Provider,
    name: &str,
    key: &str,
    findings: &mut Findings<'_>,
) -> Option<&'p Setting> {
    let found = provider.settings.iter().find(|setting| setting.name == name);
    if found.is_none() {
        findings.add(key, format!("{name} is not a setting of this provider"));
    }
    found
}

fn hosts(provider: &Provider, findings: &mut Findings<'_>) {
    for (name, host) in &provider.hosts {
        let key = format!("hosts.{name}");
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            findings.add(key.as_str(), "a host's name is lower case");
        }
        template(provider, &host.url, &format!("{key}.url"), findings);
        for (nth, variant) in host.variants.iter().enumerate() {
            let key = format!("{key}.variants.{nth}");
            template(provider, &variant.url, &format!("{key}.url"), findings);
            if variant.when.is_empty() {
                findings.add(
                    format!("{key}.when"),
                    "a variant without a condition would hide the rest",
                );
            }
            for (name, value) in &variant.when {
                let setting = known_setting(provider, name, &format!("{key}.when"), findings);
                let checked = setting
                    .zip(value.as_ref())
                    .map(|(setting, value)| setting.check(value));
                if let Some(Err(reason)) = checked {
                    findings.add(format!("{key}.when"), format!("{name} {reason}"));
                }
            }
        }
    }
}

fn template(provider: &Provider, template: &Template, key: &str, findings: &mut Findings<'_>) {
    if let Err(reason) = check_template(provider, template) {
        findings.add(key, reason);
        return;
    }
    let samples = provider
        .settings
        .iter()
        .map(|setting| (setting.name.clone(), setting.shape.sample()));
    let origin = template.fill(&samples.collect::<Settings>(), &provider.settings);
    if origin.is_ok_and(|origin| !origin.https && !origin.is_loopback()) {
        findings.add(key, "a key goes over https only");
    }
}

fn key(provider: &Provider, findings: &mut Findings<'_>) {
    if let KeyPlace::Query(name) = &provider.key.place
        && !places::is_stripped_query(name)
    {
        findings.add(
            "key.query",
            format!("{name} is not stripped from what callers send, so theirs would stand beside it"),
        );
    }
    for (name, _) in &provider.key.fixed_headers {
        if places::is_stripped_header(name) {
            findings.add("key.fixed_headers", format!("{name} is a place of credentials"));
        }
    }
}

fn endpoints(provider: &Provider, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (nth, endpoint) in provider.endpoints.iter().enumerate() {
        let key = format!("endpoints.{nth}");
        let path = endpoint.path.as_str();
        known_host(provider, &endpoint.host, &format!("{key}.host"), findings);
        let lower = path.to_lowercase();
        if let Some(fragment) = MINTS_SECRETS.iter().find(|fragment| lower.contains(**fragment)) {
            findings.add(
                format!("{key}.path"),
                format!("{fragment} stands for calls that mint or show secrets"),
            );
        }
        if path.starts_with("/{") && !path.starts_with("/{version=") {
            findings.add(
                format!("{key}.path"),
                "a path that begins with a hole lists more than is meant",
            );
        }
        let prefixes = endpoint
            .inbound_prefixes
            .iter()
            .chain([&endpoint.upstream_prefix]);
        for prefix in prefixes.filter(|prefix| !prefix.is_empty()) {
            if !prefix.starts_with('/') || prefix.ends_with('/') {
                findings.add(
                    key.as_str(),
                    format!("the prefix {prefix} must begin with / and not end with it"),
                );
            }
        }
        let by_model = endpoint.path.hole_names().any(|name| name == "model");
        let model_names = by_model
            .then(|| provider.model_names(endpoint.operation))
            .flatten();
        let distinct = model_names.map(|names| names.iter().map(|glob| glob.as_str()).collect::<Vec<_>>());
        if !seen.insert((format!("{:?}", endpoint.method), path, distinct)) {
            findings.add(key, "an endpoint of this method and path is listed already");
        }
    }
    for operation in &provider.operations {
        if !provider
            .endpoints
            .iter()
            .any(|endpoint| endpoint.operation == *operation)
        {
            findings.add("operations", format!("no endpoint does {operation}"));
        }
    }
}

fn known_host(provider: &Provider, name: &str, key: &str, findings: &mut Findings<'_>) {
    if !provider.hosts.contains_key(name) {
        let near = nearest(name, provider.hosts.keys().map(String::as_str));
        let hint = near
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default();
        findings.add(key, format!("unknown host {name}{hint}"));
    }
}
