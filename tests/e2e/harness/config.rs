//! The configuration that every run starts from, and ways to change it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use toml::Table;

use crate::fakes::Fakes;

/// Free ports, and every provider's hosts replaced by fakes.
pub fn base_config(fakes: &Fakes) -> Table {
    let mut config = Table::new();
    set(&mut config, "gateway.listen", "127.0.0.1:0");
    set(&mut config, "gateway.workers", 1);
    set(&mut config, "admin.listen", "127.0.0.1:0");
    set(&mut config, "admin.public_url", "https://voxgate.example.com");
    set(
        &mut config,
        "providers.elevenlabs.hosts.api",
        fakes.elevenlabs.url.as_str(),
    );
    set(
        &mut config,
        "providers.azure.hosts.api",
        fakes.azure_api.url.as_str(),
    );
    set(
        &mut config,
        "providers.azure.hosts.tts",
        fakes.azure_tts.url.as_str(),
    );
    set(
        &mut config,
        "providers.azure.hosts.stt",
        fakes.azure_stt.url.as_str(),
    );
    set(
        &mut config,
        "providers.gemini.hosts.api",
        fakes.gemini.url.as_str(),
    );
    for (id, fake) in &fakes.others {
        match *id {
            // Where it is depends on the credential, which may name only what the operator lists.
            "openai-compatible" => {
                let listed = toml::Value::Array(vec![own_server(&fake.url).into()]);
                set(&mut config, "providers.openai-compatible.base_urls", listed);
            }
            id => set(
                &mut config,
                &format!("providers.{id}.hosts.api"),
                fake.url.as_str(),
            ),
        }
    }
    config
}

/// The base URL of an OpenAI-compatible server, as its users give it to an SDK.
pub fn own_server(url: &str) -> String {
    format!("{url}/v1")
}

/// Sets a key by its dotted path.
pub fn set(config: &mut Table, path: &str, value: impl Into<toml::Value>) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut table = config;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let below = table
            .entry(parent)
            .or_insert_with(|| toml::Value::Table(Table::new()));
        table = below.as_table_mut().expect("a section");
    }
    table.insert(last.to_owned(), value.into());
}

pub fn path_value(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A new secret with characters that URL and base64 encodings change, and nothing that occurs elsewhere.
pub fn secret(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let random = uuid::Uuid::new_v4().simple().to_string();
    let separator = if kind == "pgpassword" { "." } else { "+/" };
    format!(
        "{kind}_{}{separator}{random}",
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
