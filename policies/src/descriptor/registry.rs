//! Every provider this gateway knows, and the operator's own hosts, URLs and limits for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::errors::{DescriptorErrors, Findings};
use super::origin::{Origin, OriginError};
use super::provider::{HostTemplate, Provider, TimeoutOverrides};
use super::settings::{Settings, Shape, Template};
use super::{file, nearest};

/// Registry of providers, in id order; immutable once built.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    by_id: BTreeMap<String, Arc<Provider>>,
}

/// Name and text of the descriptors that ship with the gateway.
const BUILT_IN: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// First path segments that the gateway answers itself.
const RESERVED: [&str; 4] = ["v1", "healthz", "readyz", "metrics"];

/// Reads and checks one descriptor.
pub fn check_file(file_name: &str, text: &str) -> Result<Provider, DescriptorErrors> {
    file::read(file_name, text)
}

impl Providers {
    pub fn built_in() -> Result<Self, DescriptorErrors> {
        BUILT_IN
            .iter()
            .try_fold(Self::default(), |all, (name, text)| all.with_file(name, text))
    }

    /// Adds a descriptor. An id or a root path that is taken already is refused.
    pub fn with_file(mut self, file_name: &str, text: &str) -> Result<Self, DescriptorErrors> {
        let provider = check_file(file_name, text)?;
        let mut findings = Findings::new(file_name, text);
        let id = provider.id.as_str();
        if RESERVED.contains(&id) || self.by_id.contains_key(id) {
            findings.add("id", format!("{id} is taken already"));
        }
        for other in self.iter() {
            for root in provider.root_paths.iter().filter(|root| other.claims(root)) {
                findings.add("root_paths", format!("{root} belongs to {} already", other.id));
            }
            if provider
                .root_paths
                .iter()
                .any(|root| root.starts_with(&format!("/{}/", other.id)))
            {
                findings.add(
                    "root_paths",
                    format!("a root path hides the provider {}", other.id),
                );
            }
        }
        if !findings.is_empty() {
            return Err(findings.into_errors());
        }
        self.by_id.insert(id.to_owned(), Arc::new(provider));
        Ok(self)
    }

    /// Puts an operator's hosts in the place of a provider's templates and variants.
    pub fn with_hosts(
        mut self,
        provider: &str,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, DescriptorErrors> {
        let file = "configuration";
        let mut changed = Provider::clone(self.known(provider)?);
        for (name, url) in overrides {
            let key = format!("providers.{provider}.hosts.{name}");
            let refuse = |message: String| DescriptorErrors::one(file, &key, message);
            if !changed.hosts.contains_key(name) {
                return Err(refuse(unknown_name("host", name, changed.hosts.keys())));
            }
            let template = Template::parse(url).map_err(|reason| refuse(reason.to_owned()))?;
            check_template(&changed, &template).map_err(refuse)?;
            changed.hosts.insert(name.clone(), HostTemplate::new(template));
        }
        self.by_id.insert(provider.to_owned(), Arc::new(changed));
        Ok(self)
    }

    /// The URLs that an operator allows as the value of a setting that is a URL.
    pub fn with_base_urls(mut self, provider: &str, listed: &[String]) -> Result<Self, DescriptorErrors> {
        if listed.is_empty() {
            return Ok(self);
        }
        let key = format!("providers.{provider}.base_urls");
        let refuse = |message: String| DescriptorErrors::one("configuration", &key, message);
        let mut changed = Provider::clone(self.known(provider)?);
        let parsed: Result<Vec<Origin>, _> = listed.iter().map(|url| url.parse()).collect();
        let parsed = parsed.map_err(|error: OriginError| refuse(error.to_string()))?;
        let mut takes_them = false;
        for setting in &mut changed.settings {
            if let Shape::OperatorUrl { urls, .. } = &mut setting.shape {
                urls.clone_from(&parsed);
                takes_them = true;
            }
        }
        if !takes_them {
            return Err(refuse("this provider has no setting that is a URL".to_owned()));
        }
        self.by_id.insert(provider.to_owned(), Arc::new(changed));
        Ok(self)
    }

    pub fn with_timeouts(mut self, provider: &str, own: TimeoutOverrides) -> Result<Self, DescriptorErrors> {
        let mut changed = Provider::clone(self.known(provider)?);
        let timeouts = &mut changed.timeouts;
        timeouts.connect = own.connect.unwrap_or(timeouts.connect);
        timeouts.first_byte = own.first_byte.unwrap_or(timeouts.first_byte);
        timeouts.idle = own.idle.unwrap_or(timeouts.idle);
        if [timeouts.connect, timeouts.first_byte, timeouts.idle]
            .iter()
            .any(|limit| limit.is_zero())
        {
            let key = format!("providers.{provider}.timeouts");
            return Err(DescriptorErrors::one(
                "configuration",
                &key,
                "a limit of zero would stop every call",
            ));
        }
        self.by_id.insert(provider.to_owned(), Arc::new(changed));
        Ok(self)
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Provider>> {
        self.by_id.get(id)
    }

    /// In id order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.by_id.values()
    }

    fn known(&self, id: &str) -> Result<&Arc<Provider>, DescriptorErrors> {
        self.get(id).ok_or_else(|| {
            let message = unknown_name("provider", id, self.by_id.keys());
            DescriptorErrors::one("configuration", &format!("providers.{id}"), message)
        })
    }
}

impl Provider {
    /// Whether this path, which begins a root path, already means this provider.
    fn claims(&self, root: &str) -> bool {
        root.starts_with(&format!("/{}/", self.id))
            || self
                .root_paths
                .iter()
                .any(|mine| mine.starts_with(root) || root.starts_with(mine.as_str()))
    }
}

/// Whether every hole is a setting that may stand in a host, and the filled template is an origin.
pub(super) fn check_template(provider: &Provider, template: &Template) -> Result<(), String> {
    let mut samples = Settings::new();
    for hole in template.holes() {
        let Some(setting) = provider.settings.iter().find(|setting| setting.name == hole) else {
            return Err(unknown_name(
                "setting",
                hole,
                provider.settings.iter().map(|setting| &setting.name),
            ));
        };
        if matches!(setting.shape, Shape::OperatorUrl { .. }) {
            return match template.only_hole() {
                Some(_) => Ok(()),
                None => Err(format!(
                    "{hole} is a whole URL, so nothing stands beside {{{hole}}}"
                )),
            };
        }
        if !setting.shape.fits_a_host() {
            return Err(format!("{hole} has no shape that keeps it a single DNS label"));
        }
        samples.insert(hole.to_owned(), setting.shape.sample());
    }
    template
        .fill(&samples, &provider.settings)
        .map(drop)
        .map_err(|error| error.message)
}

fn unknown_name<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a String> + Clone) -> String {
    match nearest(name, known.clone().map(String::as_str)) {
        Some(near) => format!("unknown {kind} {name}; did you mean {near}?"),
        None => {
            let known: Vec<_> = known.map(String::as_str).collect();
            format!("unknown {kind} {name}; known are {}", known.join(", "))
        }
    }
}
