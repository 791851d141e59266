//! A gateway over a vault on SQLite in a temporary folder, with one user who has a token and a key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callers::Callers;
use catalogue::Catalogue;
use gateway::{GatewaySettings, Running, TlsFiles};
use policies::descriptor::{Providers, Settings, TimeoutOverrides};
use policies::vocabulary::{
    Actor, AuditEvent, Choice, Operation, Owner, ProviderId, Selection, UsageEvent, UserId,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;
use vault::{
    AuditFilter, CredentialRow, NewCredential, NewToken, Secret, SystemClock, UsageFilter, Vault,
    VaultSettings,
};

pub const KEY: &str = "provider-key-0123456789";
pub const PROVIDER: &str = "elevenlabs";
pub const SPEAK: &str = "/elevenlabs/v1/text-to-speech/anna";
pub const LISTEN: &str = "/elevenlabs/v1/speech-to-text";
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Fixture {
    pub vault: Vault,
    providers: Arc<Providers>,
    pub token: String,
    _folder: TempDir,
    pub registry: prometheus::Registry,
    client: reqwest::Client,
    running: Option<Running>,
    address: SocketAddr,
}

pub struct Options {
    /// Each has its own connections to providers.
    pub workers: usize,
    pub origin: String,
    pub timeouts: TimeoutOverrides,
    pub max_body_bytes: u64,
    pub head_timeout: Duration,
    pub write_timeout: Duration,
    pub cors_origins: Vec<String>,
    pub tls: Option<TlsFiles>,
    pub ca_file: Option<PathBuf>,
    pub with_key: bool,
    /// Where OpenAI answers, with a key of its own for it; `/v1` tests call it first.
    pub openai: Option<SocketAddr>,
    /// Where Azure's recognition answers, with a key of its own for it.
    pub azure: Option<SocketAddr>,
    pub fallback_after: Duration,
    pub attempts_time: Duration,
    pub spool_max_bytes: u64,
    pub socket_idle: Duration,
    pub socket_token_time: Duration,
    pub socket_record_every: Duration,
    pub close_on_revoke: Option<bool>,
}

impl Options {
    pub fn to(address: SocketAddr) -> Self {
        Self {
            workers: 2,
            origin: format!("http://{address}"),
            timeouts: TimeoutOverrides {
                connect: None,
                first_byte: None,
                idle: None,
            },
            max_body_bytes: 1 << 30,
            head_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            cors_origins: Vec::new(),
            tls: None,
            ca_file: None,
            with_key: true,
            openai: None,
            azure: None,
            fallback_after: Duration::from_secs(10),
            attempts_time: Duration::from_secs(60),
            spool_max_bytes: 1 << 30,
            socket_idle: Duration::from_secs(3_600),
            socket_token_time: Duration::from_secs(10),
            socket_record_every: Duration::from_secs(60),
            close_on_revoke: None,
        }
    }

    pub async fn start(self) -> Fixture {
        // As `main` does, before anything builds a TLS client.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let folder = tempfile::tempdir().unwrap();
        let hosts = BTreeMap::from([("api".to_owned(), self.origin.clone())]);
        let providers = Providers::built_in()
            .unwrap()
            .with_hosts(PROVIDER, &hosts)
            .unwrap();
        let mut providers = providers.with_timeouts(PROVIDER, self.timeouts).unwrap();
        if let Some(openai) = self.openai {
            let hosts = BTreeMap::from([("api".to_owned(), format!("http://{openai}"))]);
            providers = providers.with_hosts("openai", &hosts).unwrap();
        }
        if let Some(azure) = self.azure {
            let hosts = BTreeMap::from([("stt".to_owned(), format!("http://{azure}"))]);
            providers = providers.with_hosts("azure", &hosts).unwrap();
        }
        let providers = Arc::new(providers);
        let vault = open_vault(&folder, providers.clone()).await;
        let token = new_token(&vault).await;
        if self.with_key {
            store_key(&vault, &providers, PROVIDER).await;
        }
        if self.openai.is_some() {
            store_key(&vault, &providers, "openai").await;
        }
        if self.azure.is_some() {
            store_key(&vault, &providers, "azure").await;
        }
        let app = tokio::runtime::Handle::current();
        let callers = Callers::new(Vec::new(), vault.clone(), app.clone(), Arc::new(SystemClock)).unwrap();
        let registry = prometheus::Registry::new();
        let client = client();
        let catalogue = Catalogue::new(vault.clone(), providers.clone(), None).unwrap();
        let settings = GatewaySettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            workers: self.workers,
            max_body_bytes: self.max_body_bytes,
            tls: self.tls,
            cors_origins: self.cors_origins,
            head_timeout: self.head_timeout,
            max_head_bytes: 64 * 1024,
            write_timeout: self.write_timeout,
            public_url: "http://console.test".into(),
            ca_file: self.ca_file,
            fallback_after: self.fallback_after,
            attempts_time: self.attempts_time,
            spool_folder: None,
            spool_max_bytes: self.spool_max_bytes,
            socket_idle: self.socket_idle,
            socket_token_time: self.socket_token_time,
            socket_record_every: self.socket_record_every,
            close_on_revoke: self.close_on_revoke,
        };
        let running = gateway::start(
            settings,
            providers.clone(),
            vault.clone(),
            callers,
            app,
            &registry,
            catalogue,
        )
        .unwrap();
        let address = running.address();
        Fixture {
            vault,
            providers,
            token,
            _folder: folder,
            registry,
            client,
            running: Some(running),
            address,
        }
    }
}

async fn open_vault(folder: &TempDir, providers: Arc<Providers>) -> Vault {
    let settings = VaultSettings {
        url: format!("sqlite://{}", folder.path().join("voxgate.db").display()),
        max_connections: 4,
        master_key_file: folder.path().join("master.key"),
        migrate: true,
        journal: folder.path().join("usage.journal"),
        journal_max_bytes: 1 << 24,
        clock: Arc::new(SystemClock),
    };
    Vault::open(settings, providers, Vec::new()).await.unwrap()
}

pub fn ada() -> UserId {
    UserId::new("ada")
}

fn actor() -> Actor {
    Actor {
        user: Some(ada()),
        ip: None,
        request_id: Uuid::now_v7(),
    }
}

async fn new_token(vault: &Vault) -> String {
    let new = NewToken {
        user: ada(),
        name: "test".into(),
        ttl: None,
        scopes: None,
        roles: Vec::new(),
        teams: Vec::new(),
        admin_of: Vec::new(),
    };
    vault
        .create_token(&actor(), new)
        .await
        .unwrap()
        .1
        .expose()
        .to_owned()
}

async fn store_key(vault: &Vault, providers: &Providers, id: &str) {
    let provider = providers.get(id).unwrap();
    let settings = match id {
        "azure" => Settings::from([("region".to_owned(), "westeurope".to_owned())]),
        _ => Settings::new(),
    };
    let new = NewCredential {
        owner: Owner::User(ada()),
        provider: provider.id.clone(),
        secret: Secret::new(KEY),
        hosts: provider.hosts(&provider.settings(&settings).unwrap()).unwrap(),
        settings,
        status_reason: None,
        status_detail: None,
    };
    vault.put_credential(&actor(), new).await.unwrap();
}

impl Fixture {
    pub async fn to(address: SocketAddr) -> Self {
        Options::to(address).start().await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn take_running(&mut self) -> Running {
        self.running.take().unwrap()
    }

    /// A request of this user's, not sent yet.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        self.client
            .request(method, self.url(path))
            .header("xi-api-key", &self.token)
    }

    /// Selects OpenAI, and after it ElevenLabs.
    pub async fn select(&self, operation: Operation, models: (&str, &str), voices: Option<(&str, &str)>) {
        let choice = |provider: &str, model: &str, voice: Option<&str>| Choice {
            provider: ProviderId::new(provider),
            model: Some(model.to_owned()),
            voice: voice.map(str::to_owned),
        };
        let first = choice("openai", models.0, voices.map(|voices| voices.0));
        let selection = Selection {
            provider: first.provider,
            model: first.model,
            voice: first.voice,
            fallbacks: vec![choice(PROVIDER, models.1, voices.map(|voices| voices.1))],
        };
        let (by, owner) = (actor(), Owner::User(ada()));
        let stored = self.vault.put_selection(&by, &owner, operation, &selection);
        stored.await.unwrap();
    }

    /// A connection on which the test writes HTTP by hand.
    pub async fn connect(&self) -> Wire {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire {
            stream,
            received: Vec::new(),
        }
    }

    /// A head of this user's, complete but for what `more` adds.
    pub fn head(&self, method: &str, path: &str, more: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nxi-api-key: {}\r\n{more}\r\n",
            self.token
        )
    }

    /// The usage events once there are `count`, newest first; never more.
    pub async fn usage(&self, count: usize) -> Vec<UsageEvent> {
        let read = || async { self.vault.read_usage(UsageFilter::default()).await.unwrap().items };
        let found = settled(read, |items| items.len() >= count).await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// How many usage events there are, once there are this many.
    pub async fn usage_count(&self, count: usize) -> usize {
        let read = || async {
            let sums = self
                .vault
                .summarise_usage(UsageFilter::default(), &[])
                .await
                .unwrap();
            let calls = sums.first().map_or(0, |sum| sum.calls);
            vec![(); calls as usize]
        };
        settled(read, |calls| calls.len() >= count).await.len()
    }

    /// The only usage event, once it looks as expected.
    pub async fn usage_once(&self, expected: impl Fn(&UsageEvent) -> bool) -> UsageEvent {
        let read = || async { self.vault.read_usage(UsageFilter::default()).await.unwrap().items };
        let mut found = settled(read, |items| items.iter().all(&expected)).await;
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    }

    pub async fn revoke_token(&self) {
        let hash = vault::token::parse(&self.token).unwrap();
        let caller = self.vault.token(&hash).await.unwrap().unwrap();
        let id = caller.token_id.unwrap();
        assert!(self.vault.revoke_token(&actor(), id, None).await.unwrap());
    }

    pub async fn delete_key(&self) {
        let (owner, provider) = (Owner::User(ada()), ProviderId::new(PROVIDER));
        assert!(
            self.vault
                .delete_credential(&actor(), &owner, &provider)
                .await
                .unwrap()
        );
    }

    pub async fn replace_key(&self) {
        store_key(&self.vault, &self.providers, PROVIDER).await;
    }

    pub async fn refusals(&self, count: usize) -> Vec<AuditEvent> {
        let filter = || AuditFilter {
            action: Some(policies::vocabulary::AuditAction::CallRefuse),
            ..AuditFilter::default()
        };
        let read = || async { self.vault.read_audit(filter()).await.unwrap().items };
        settled(read, |items| items.len() >= count).await
    }

    /// The stored key's row once it looks as expected.
    pub async fn credential(&self, expected: impl Fn(&CredentialRow) -> bool) -> CredentialRow {
        let (by, owner, provider) = (actor(), Owner::User(ada()), ProviderId::new(PROVIDER));
        let read = || async {
            let row = self
                .vault
                .read_credential(&by, &owner, &provider)
                .await
                .unwrap()
                .unwrap();
            vec![row]
        };
        settled(read, |rows| expected(&rows[0])).await.remove(0)
    }
}

/// Reads until `enough` or patience ends, then once more after a moment, in case there is too much.
async fn settled<T, R, F>(read: R, enough: impl Fn(&[T]) -> bool) -> Vec<T>
where
    R: Fn() -> F,
    F: Future<Output = Vec<T>>,
{
    for _ in 0..200 {
        if enough(&read().await) {
            tokio::time::sleep(Duration::from_millis(150)).await;
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    read().await
}

pub fn client() -> reqwest::Client {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

/// HTTP/1.1 by hand.
pub struct Wire {
    pub stream: TcpStream,
    pub received: Vec<u8>,
}

impl Wire {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The gateway may have closed the connection, which reading tells.
        self.stream.write_all(bytes.as_ref()).await.ok();
    }

    /// Reads until `pattern` has come; what came is kept in `received`.
    pub async fn until(&mut self, pattern: &str) {
        let found = async {
            while !contains(&self.received, pattern) {
                let read = self.stream.read_buf(&mut self.received).await.unwrap();
                assert!(
                    read > 0,
                    "closed before {pattern:?}: {:?}",
                    String::from_utf8_lossy(&self.received)
                );
            }
        };
        timeout(PATIENCE, found).await.expect("nothing more came");
    }

    /// Everything up to the end of the connection, and whether it ended in order.
    pub async fn rest(&mut self) -> (String, bool) {
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut self.received)).await;
        let orderly = read.expect("the connection stayed open").is_ok();
        (String::from_utf8_lossy(&self.received).into_owned(), orderly)
    }
}

pub fn contains(bytes: &[u8], pattern: &str) -> bool {
    bytes
        .windows(pattern.len())
        .any(|window| window == pattern.as_bytes())
}

/// Resident memory of this process.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
