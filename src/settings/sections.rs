//! The sections of the configuration file, their defaults, and nothing about what is done with them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    pub listen: SocketAddr,
    /// 0: one per core.
    pub workers: usize,
    pub max_body_bytes: u64,
    pub max_head_bytes: usize,
    pub head_timeout_seconds: u64,
    pub write_timeout_seconds: u64,
    pub drain_seconds: u64,
    /// `/v1`: how long a candidate may take while another one is left.
    pub fallback_after_seconds: u64,
    /// `/v1`: how long all candidates may take together until the answer begins.
    pub attempts_seconds: u64,
    /// `/v1`: where uploads wait that cannot go up as they come; the system's own when absent.
    pub spool_dir: Option<PathBuf>,
    /// `/v1`: how much of the disk they may take together.
    pub spool_max_bytes: u64,
    /// How long a WebSocket may be silent in both directions.
    pub socket_idle_seconds: u64,
    /// How long a caller may take to show its token, where that comes in the first message.
    pub socket_token_seconds: u64,
    /// How often an open WebSocket puts on record what it has used so far.
    pub socket_record_seconds: u64,
    /// Whether what is taken back closes open WebSockets. Absent: a token that is revoked and a credential that is
    /// deleted do; `true`: one that is replaced does too; `false`: nothing does.
    pub close_on_revoke: Option<bool>,
    pub tls: Option<Tls>,
    #[serde(deserialize_with = "list")]
    pub cors_origins: Vec<String>,
    /// More certificate authorities to trust when calling providers, as PEM.
    pub ca_file: Option<PathBuf>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: 0,
            max_body_bytes: 5 * 1024 * 1024 * 1024,
            max_head_bytes: 64 * 1024,
            head_timeout_seconds: 15,
            write_timeout_seconds: 60,
            drain_seconds: 30,
            fallback_after_seconds: 10,
            attempts_seconds: 300,
            spool_dir: None,
            spool_max_bytes: 10 * 1024 * 1024 * 1024,
            socket_idle_seconds: 60 * 60,
            socket_token_seconds: 10,
            socket_record_seconds: 60,
            close_on_revoke: None,
            tls: None,
            cors_origins: Vec::new(),
            ca_file: None,
        }
    }
}

impl Gateway {
    /// Times that would make no sense if they were nothing or without end: each key, its value, and the most it may
    /// be. The least is a second.
    pub fn limited(&self) -> [(&'static str, u64, u64); 3] {
        const DAY: u64 = 24 * 60 * 60;
        [
            ("socket_idle_seconds", self.socket_idle_seconds, 7 * DAY),
            ("socket_token_seconds", self.socket_token_seconds, 60 * 60),
            ("socket_record_seconds", self.socket_record_seconds, DAY),
        ]
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Used in `setup_url`; `http://` and the listener's own address when absent.
    pub public_url: Option<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            public_url: None,
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    pub url: String,
    pub max_connections: u32,
    pub migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: "sqlite://voxgate-data/voxgate.db".to_owned(),
            max_connections: 16,
            migrate: true,
        }
    }
}

/// Leaves out `url`, which may hold a password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaultFiles {
    pub master_key_file: PathBuf,
}

impl Default for VaultFiles {
    fn default() -> Self {
        Self {
            master_key_file: PathBuf::from("voxgate-data/master.key"),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// Where events wait for the database; beside the SQLite database, or in `voxgate-data`, when absent.
    pub journal: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, or directives such as `info,gateway=debug`.
    pub level: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Json,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    pub jwt: Vec<Issuer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub issuer: String,
    pub audience: String,
    #[serde(deserialize_with = "list")]
    pub algorithms: Vec<String>,
    pub jwks_url: Option<String>,
    pub secret_file: Option<PathBuf>,
    pub public_key_file: Option<PathBuf>,
    #[serde(default = "sub")]
    pub user_claim: String,
    #[serde(default)]
    pub user_prefix: String,
    #[serde(default = "roles")]
    pub roles_claim: String,
    #[serde(default = "teams")]
    pub teams_claim: String,
    #[serde(default = "admin_of")]
    pub team_admin_claim: String,
}

fn sub() -> String {
    "sub".to_owned()
}

fn roles() -> String {
    "roles".to_owned()
}

fn teams() -> String {
    "teams".to_owned()
}

fn admin_of() -> String {
    "admin_of".to_owned()
}

/// `[providers]`: `extra`, and one table per provider id.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    pub extra: Vec<String>,
    pub each: BTreeMap<String, ProviderOverrides>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderOverrides {
    pub api_key: Option<ApiKey>,
    pub api_key_file: Option<PathBuf>,
    pub settings: BTreeMap<String, String>,
    pub hosts: BTreeMap<String, String>,
    /// What a setting that is a URL may be.
    #[serde(deserialize_with = "list")]
    pub base_urls: Vec<String>,
    pub timeouts: Timeouts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    pub connect_seconds: Option<u64>,
    pub first_byte_seconds: Option<u64>,
    pub idle_seconds: Option<u64>,
}

/// A system-level key as configured. Wiped on drop, never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl<'de> Deserialize<'de> for Providers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = Providers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table per provider, and `extra`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Providers, A::Error> {
                let mut providers = Providers::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "extra" {
                        providers.extra = map.next_value::<List>()?.0;
                    } else {
                        providers.each.insert(key, map.next_value()?);
                    }
                }
                Ok(providers)
            }
        }

        deserializer.deserialize_map(Tables)
    }
}

/// A list; from the environment the same, separated by commas.
struct List(Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        list(deserializer).map(List)
    }
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Items;

    impl<'de> Visitor<'de> for Items {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of strings")
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_any(Items)
}
