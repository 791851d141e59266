//! A provider as data: one TOML file says all that Voxgate knows of it.
//!
//! [`file`] is what was written, [`Provider`] and the types here are what is meant, and `parse` stands
//! between them with errors that point at file and key. `lint` holds what only makes sense over a whole
//! descriptor. [`Providers`] is the registry: the built-in files, those the operator adds, and the
//! operator's overrides of hosts. Nothing outside this folder reads the TOML.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use http::{HeaderName, Method};

use crate::vocabulary::{Dialect, Operation, ProviderId, Verdict};

/// Everything known about one provider, parsed and checked.
#[derive(Debug)]
pub struct Provider {
    pub id: ProviderId,
    pub name: String,
    /// Where a person gets a key.
    pub key_url: String,
    pub dialect: Dialect,
    /// The operations that people choose this provider for: `tts`, `stt`.
    pub operations: Vec<Operation>,
    pub settings: Vec<Setting>,
    pub hosts: BTreeMap<String, HostTemplate>,
    pub key: KeyPlacement,
    /// Path prefixes at the gateway's root that also mean this provider, for SDKs that drop the prefix.
    pub root_paths: Vec<String>,
    /// Query parameters that must not go upstream with anything but a refusal.
    pub refused_query: Vec<String>,
    pub endpoints: Vec<Endpoint>,
    /// First match decides.
    pub verdicts: Vec<VerdictRule>,
    /// Tried in order; the first verdict other than `caller` and `unavailable` decides.
    pub probe: Ask,
    pub models: ModelSource,
    pub voices: VoiceSource,
    pub quota: Option<QuotaSource>,
    /// Names of answer headers that hold the provider's own id of the request.
    pub request_id_headers: Vec<HeaderName>,
    /// Where a refusal says how long to wait, besides `retry-after`: JSON pointers (`*` is any element).
    pub retry_after_pointers: Vec<Pointer>,
    pub prices: Vec<Price>,
    pub timeouts: Timeouts,
}

/// One thing a key needs beside itself, such as a region.
#[derive(Debug, Clone)]
pub struct Setting {
    pub name: String,
    pub title: String,
    pub help: String,
    pub required: bool,
    pub default: Option<String>,
    /// Anchored; a value that becomes part of a host is also checked to be a single DNS label.
    pub shape: Shape,
    /// Values known to work. Others are allowed when the shape fits.
    pub known: Vec<String>,
}

/// A host of the provider: a template with `{setting}` holes, and variants that settings choose.
#[derive(Debug, Clone)]
pub struct HostTemplate {
    pub template: String,
    pub variants: Vec<HostVariant>,
}

#[derive(Debug, Clone)]
pub struct HostVariant {
    pub setting: String,
    /// `None`: whenever the setting has a value.
    pub is: Option<String>,
    pub template: String,
}

/// Scheme, host, port and base path where a provider answers: what a key may be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    pub https: bool,
    pub host: String,
    pub port: u16,
    /// Without trailing slash; empty for none.
    pub base_path: String,
}

/// Host name (`api`, `tts`, …) → origin. Part of what a credential's seal authenticates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(pub BTreeMap<String, Arc<Origin>>);

/// The one place where a key goes, and the headers that always go with it.
#[derive(Debug, Clone)]
pub struct KeyPlacement {
    pub place: KeyPlace,
    /// `{key}` is replaced; `Bearer {key}`, `Token {key}`, or `{key}` alone.
    pub format: String,
    pub fixed_headers: Vec<(HeaderName, String)>,
}

#[derive(Debug, Clone)]
pub enum KeyPlace {
    Header(HeaderName),
    Query(String),
}

/// One method and path that may be reached.
#[derive(Debug)]
pub struct Endpoint {
    pub method: EndpointMethod,
    pub path: PathPattern,
    /// Names one of the provider's hosts.
    pub host: String,
    /// Put before the path when it goes upstream, and taken off an inbound path's start: `/tts`, `/stt`.
    pub inbound_prefixes: Vec<String>,
    pub operation: Operation,
    pub meter: MeterPlan,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointMethod {
    Http(Method),
    WebSocket,
}
