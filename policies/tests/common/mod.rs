//! Set-up that the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use policies::descriptor::{Provider, Providers, Settings};
use policies::rewrite::upstream_head;
use policies::rules::{Inbound, Route, recognise, route};
use policies::vocabulary::{Code, Dialect, Refusal};

pub const KEY: &str = "sk_provider_key_0123456789";

/// What an operator would list for servers of one's own.
pub const OWN_SERVER: &str = "http://10.0.0.5:8000/v1";

pub static PROVIDERS: LazyLock<Providers> = LazyLock::new(|| {
    Providers::built_in()
        .and_then(|built_in| built_in.with_base_urls("openai-compatible", &[OWN_SERVER.to_owned()]))
        .unwrap_or_else(|errors| panic!("{errors}"))
});

pub fn provider(id: &str) -> Arc<Provider> {
    PROVIDERS
        .get(id)
        .unwrap_or_else(|| panic!("no provider {id}"))
        .clone()
}

pub fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Settings that every provider accepts as enough.
pub fn enough(provider: &Provider) -> Settings {
    let needed = provider
        .settings
        .iter()
        .filter(|setting| setting.required || setting.required_unless.is_some());
    needed
        .map(|setting| {
            let value = setting.known.first().map_or(OWN_SERVER, String::as_str);
            (setting.name.clone(), value.to_owned())
        })
        .collect()
}

pub fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let parsed = pairs.iter().map(|(name, value)| {
        (
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )
    });
    let mut headers = HeaderMap::new();
    parsed.for_each(|(name, value)| {
        headers.append(name, value);
    });
    headers
}

pub fn seen(method: &str, target: &str, head: &[(&str, &str)]) -> Result<Inbound, (Dialect, Refusal)> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    recognise(
        &method,
        &target.parse::<Uri>().unwrap(),
        &headers(head),
        &PROVIDERS,
    )
}

/// The route of a request, or the code of its refusal.
pub fn routed(method: &str, target: &str, head: &[(&str, &str)]) -> Result<(Inbound, Route), Code> {
    let inbound = seen(method, target, head).map_err(|(_, refusal)| refusal.code)?;
    let route = route(&inbound, &method.parse().unwrap()).map_err(|refusal| refusal.code)?;
    Ok((inbound, route))
}

/// What every upgrade says.
pub const UPGRADE: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "websocket")];

/// The WebSocket that a target opens.
pub fn socket(target: &str) -> (Inbound, Route) {
    routed("GET", target, &UPGRADE).unwrap_or_else(|code| panic!("{target}: {code}"))
}

/// A head on its way to a provider, as golden files show it.
pub fn upstream_text(
    inbound: &Inbound,
    route: &Route,
    method: &Method,
    given: &Settings,
    head: &HeaderMap,
) -> String {
    let provider = &inbound.provider;
    let hosts = provider.hosts(&provider.settings(given).unwrap()).unwrap();
    let origin = hosts.get(&route.endpoint().host).unwrap();
    let (path, query) = (&inbound.raw_path, inbound.query.as_deref());
    let parts = upstream_head(provider, origin, method, path, query, head, "THE-PROVIDERS-KEY").unwrap();
    let scheme = if origin.https { "https" } else { "http" };
    let mut lines: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    lines.sort();
    let (authority, operation) = (origin.authority(), route.endpoint().operation);
    let target = format!("# to {scheme}://{authority}, operation {operation}\n");
    format!("{target}{} {}\n{}", parts.method, parts.uri, lines.concat())
}
