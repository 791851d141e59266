//! Where a key may go: scheme, host, port and base path, and the set of them that a credential is bound to.
//!
//! An [`Origin`] is only ever read from a descriptor's template, an operator's override or a sealed
//! credential. Reading refuses whatever could hide another host: userinfo, query, fragment, and any
//! spelling that a URL parser would change (upper case, unicode look-alikes, dot segments).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// Scheme, host, port and base path where a provider answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    pub https: bool,
    /// Lower case; an IPv6 address keeps its brackets.
    pub host: String,
    pub port: u16,
    /// Without trailing slash; empty for none.
    pub base_path: String,
}

/// Host name (`api`, `tts`, …) → origin. Part of what a credential's seal authenticates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hosts(pub BTreeMap<String, Arc<Origin>>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading {text:?} as a host: {reason}")]
pub struct OriginError {
    pub text: String,
    pub reason: &'static str,
}

impl Origin {
    /// `host[:port]`, the port left out where the scheme implies it.
    pub fn authority(&self) -> String {
        if self.port == default_port(self.https) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host as resolvers and certificates name it: an IPv6 address without its brackets.
    pub fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub fn is_loopback(&self) -> bool {
        let bare = self.name();
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != default_port(self.https) {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.base_path)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refuse = |reason| OriginError {
            text: text.to_owned(),
            reason,
        };
        let url = Url::parse(text).map_err(|_| refuse("it is not a URL"))?;
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(refuse("it must begin with https:// or http://")),
        };
        if text.contains('@') {
            return Err(refuse("a user name or '@' has no place in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("a query or fragment has no place in it"));
        }
        if text.contains(['%', '\\']) {
            return Err(refuse("escapes and backslashes have no place in it"));
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| refuse("it names no host"))?;
        let origin = Origin {
            https,
            host: host.to_owned(),
            port: url.port().unwrap_or(default_port(https)),
            base_path: url.path().trim_end_matches('/').to_owned(),
        };
        if !is_same_spelling(text, &origin) {
            return Err(refuse(
                "write it in lower case ASCII, without dot segments or doubled slashes",
            ));
        }
        Ok(origin)
    }
}

/// Whether the parser took the text as it stands. What it silently changed is what an attacker would use.
fn is_same_spelling(text: &str, origin: &Origin) -> bool {
    let given = text.trim_end_matches('/');
    let normal = origin.to_string();
    let explicit_port = format!(
        "{}://{}:{}{}",
        if origin.https { "https" } else { "http" },
        origin.host,
        origin.port,
        origin.base_path
    );
    (given == normal || given == explicit_port) && !origin.base_path.contains("//")
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl Hosts {
    pub fn get(&self, name: &str) -> Option<&Arc<Origin>> {
        self.0.get(name)
    }

    /// One spelling for one set of hosts: `name=origin` lines in name order. A host name holds neither
    /// `=` nor a line break, so two sets never share a spelling.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        for (name, origin) in &self.0 {
            text.push_str(name);
            text.push('=');
            text.push_str(&origin.to_string());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_shown_as_it_was_read() {
        for text in [
            "https://api.example.com",
            "http://127.0.0.1:9000",
            "https://[::1]:8443/tts",
            "https://a.example/x/y",
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
        assert_eq!(
            "https://a.example:443/".parse::<Origin>().unwrap().to_string(),
            "https://a.example"
        );
        assert_eq!(
            "http://a.example:8080".parse::<Origin>().unwrap().authority(),
            "a.example:8080"
        );
    }

    #[test]
    fn whatever_could_hide_another_host_is_refused() {
        for text in [
            "https://user@api.example.com",
            "https://a.example?x",
            "https://a.example#x",
            "https://A.example",
            "https://a.example/../b",
            "https://a.example//b",
            "https://a.example\\b",
            "https://ex\u{ff41}mple.com",
            "https://%61.example",
            "ftp://a.example",
            "https://",
            "a.example",
            "",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn hosts_travel_as_json_text() {
        let hosts = Hosts(BTreeMap::from([(
            "api".to_owned(),
            Arc::new("https://a.example".parse().unwrap()),
        )]));
        let json = serde_json::to_string(&hosts).unwrap();
        assert_eq!(json, r#"{"api":"https://a.example"}"#);
        assert_eq!(serde_json::from_str::<Hosts>(&json).unwrap(), hosts);
        assert_eq!(hosts.canonical(), "api=https://a.example\n");
    }
}
