//! One test's world: a folder, a database, fakes of every provider, and a gateway between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use super::command::{self, Ran};
use super::node::Node;
use super::postgres::TestDatabase;
use super::{Answer, Planted};
use crate::fakes::{Behaviour, Fake, Kind, tls};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// One fake per host.
pub struct Fakes {
    pub elevenlabs: Arc<Fake>,
    pub azure_api: Arc<Fake>,
    pub azure_tts: Arc<Fake>,
    pub azure_stt: Arc<Fake>,
    pub gemini: Arc<Fake>,
}

/// A user with an access token.
#[derive(Clone)]
pub struct User {
    pub name: String,
    pub token: String,
}

pub struct World {
    pub fakes: Fakes,
    pub planted: Planted,
    pub nodes: Vec<Node>,
    pub http: Client,
    pub config: Table,
    folder: TempDir,
    database: Option<TestDatabase>,
    ended: bool,
}

impl Fakes {
    async fn start(identity: Option<&tls::Identity>) -> Self {
        let start = async |kind| match identity {
            None => Fake::start(kind).await,
            Some(identity) => Fake::start_tls(kind, identity).await,
        };
        Self {
            elevenlabs: start(Kind::ElevenLabs).await,
            azure_api: start(Kind::AzureApi).await,
            azure_tts: start(Kind::AzureTts).await,
            azure_stt: start(Kind::AzureStt).await,
            gemini: start(Kind::Gemini).await,
        }
    }

    pub fn all(&self) -> [&Arc<Fake>; 5] {
        [
            &self.elevenlabs,
            &self.azure_api,
            &self.azure_tts,
            &self.azure_stt,
            &self.gemini,
        ]
    }

    /// The hosts of one provider.
    pub fn of(&self, provider: &str) -> Vec<&Arc<Fake>> {
        match provider {
            "elevenlabs" => vec![&self.elevenlabs],
            "azure" => vec![&self.azure_api, &self.azure_tts, &self.azure_stt],
            "gemini" => vec![&self.gemini],
            other => panic!("no fake of {other}"),
        }
    }
}

impl World {
    pub async fn start(database: Database) -> Self {
        Self::configured(database, |_, _| {}).await
    }

    /// Starts after `change` has had its way with the configuration; it gets the run's folder too.
    pub async fn configured(database: Database, change: impl FnOnce(&mut Table, &Path)) -> Self {
        Self::with_fakes(database, None, change).await
    }

    /// The same with providers that speak TLS; the gateway trusts their authority.
    pub async fn over_tls(
        database: Database,
        authority: &tls::Authority,
        change: impl FnOnce(&mut Table, &Path),
    ) -> Self {
        let identity = authority.identity();
        Self::with_fakes(database, Some(&identity), |config, folder| {
            set(config, "gateway.ca_file", path_value(&authority.write(folder)));
            change(config, folder);
        })
        .await
    }

    async fn with_fakes(
        kind: Database,
        identity: Option<&tls::Identity>,
        change: impl FnOnce(&mut Table, &Path),
    ) -> Self {
        // Every test is a process of its own to rustls; only the first call installs anything.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::Builder::new()
            .prefix("voxgate-run-")
            .tempdir()
            .expect("a folder for the run");
        let fakes = Fakes::start(identity).await;
        let planted = Planted::default();
        let database = match kind {
            Database::Sqlite => None,
            Database::Postgres => Some(TestDatabase::create().await),
        };
        let mut config = base_config(&fakes);
        if let Some(database) = &database {
            let password = secret("pgpassword");
            planted.plant("the database password", &password);
            set(&mut config, "database.url", database.url(&password));
            // Tests share one server.
            set(&mut config, "database.max_connections", 4);
        }
        change(&mut config, folder.path());
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let mut world = Self {
            fakes,
            planted,
            nodes: Vec::new(),
            http,
            config,
            folder,
            database,
            ended: false,
        };
        world.write_config();
        world.start_node().await;
        world.plant_master_key();
        world
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder().join("voxgate.toml")
    }

    pub fn write_config(&self) {
        let text = toml::to_string(&self.config).expect("a configuration that serialises");
        std::fs::write(self.config_file(), text).expect("write the configuration");
    }

    /// Adds what the master-key file holds now to what must be seen nowhere.
    pub fn plant_master_key(&self) {
        let text = std::fs::read_to_string(self.folder().join("voxgate-data/master.key"))
            .expect("read the master key");
        let is_word = |c: char| !(c.is_ascii_alphanumeric() || "+/=_-".contains(c));
        for word in text.split(is_word).filter(|word| word.len() >= 40) {
            self.planted.plant("a master key", word);
        }
    }

    /// Starts a node on the run's configuration: the first, one after a stop, or one more beside the others.
    pub async fn start_node(&mut self) {
        let mut command = command::voxgate(self.folder());
        command.args(["serve", "--config", "voxgate.toml"]);
        if !self.nodes.is_empty() {
            // Two processes do not share a journal.
            command.env(
                "VOXGATE__RECORD__JOURNAL",
                self.folder().join(format!("journal-{}", self.nodes.len())),
            );
        }
        self.nodes.push(Node::start(command).await);
    }

    /// Starts again after a stop or a kill; the new process takes the old one's place.
    pub async fn restart(&mut self) {
        let stopped = self.nodes.remove(0);
        self.planted.search(
            "the output of a node that was stopped",
            stopped.output().as_bytes(),
        );
        self.start_node().await;
    }

    pub fn node(&self) -> &Node {
        &self.nodes[0]
    }

    pub fn gateway(&self, path: &str) -> String {
        format!("http://{}{path}", self.node().gateway)
    }

    pub fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.node().admin)
    }

    /// Runs a command on the run's configuration.
    pub async fn command(&self, arguments: &[&str]) -> Ran {
        let ran = self.command_that_may_tell(arguments).await;
        self.planted.search(
            "a command's output",
            format!("{}{}", ran.stdout, ran.stderr).as_bytes(),
        );
        ran
    }

    /// A command that takes no configuration.
    pub async fn command_alone(&self, arguments: &[&str]) -> Ran {
        command::run(command::voxgate(self.folder()).args(arguments)).await
    }

    /// The same for `token create`, whose output is there to show a token.
    pub async fn command_that_may_tell(&self, arguments: &[&str]) -> Ran {
        command::run(
            command::voxgate(self.folder())
                .args(arguments)
                .args(["--config", "voxgate.toml"]),
        )
        .await
    }

    pub async fn user(&self, name: &str) -> User {
        self.user_with(name, &[]).await
    }

    pub async fn user_with(&self, name: &str, arguments: &[&str]) -> User {
        let arguments = [&["token", "create", "--user", name], arguments].concat();
        let token = self
            .command_that_may_tell(&arguments)
            .await
            .succeeded()
            .stdout
            .trim()
            .to_owned();
        assert!(
            token.starts_with("vxg_") && token.len() == 40,
            "a token alone on standard output"
        );
        self.planted.plant(&format!("{name}'s token"), &token);
        User {
            name: name.to_owned(),
            token,
        }
    }

    /// A key that the provider knows, and nobody else may see.
    pub fn key(&self, provider: &str) -> String {
        let key = secret("sk");
        self.planted.plant(&format!("a key of {provider}"), &key);
        self.fakes
            .of(provider)
            .iter()
            .for_each(|fake| fake.treat(&key, Behaviour::Normal));
        key
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        Answer::read(response, &self.planted).await
    }

    pub async fn ask_admin(&self, user: &User, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self
            .http
            .request(method, self.admin(path))
            .bearer_auth(&user.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    pub async fn read(&self, user: &User, path: &str) -> Value {
        self.ask_admin(user, Method::GET, path, None)
            .await
            .succeeded()
            .json()
    }

    pub async fn put_key(&self, user: &User, provider: &str, key: &str) -> Answer {
        let settings = if provider == "azure" {
            json!({"region": "eastus"})
        } else {
            json!({})
        };
        let body = json!({"api_key": key, "settings": settings});
        self.ask_admin(
            user,
            Method::PUT,
            &format!("/api/v1/credentials/{provider}"),
            Some(body),
        )
        .await
    }

    /// Stores a new key of the user's and returns it.
    pub async fn stored_key(&self, user: &User, provider: &str) -> String {
        let key = self.key(provider);
        self.put_key(user, provider, &key).await.succeeded();
        key
    }

    /// The user's usage records once there are as many as expected; they reach the database in batches.
    pub async fn usage(&self, user: &User, expected: usize) -> Vec<Value> {
        self.records(user, "/api/v1/usage?limit=200", expected).await
    }

    pub async fn records(&self, user: &User, path: &str, expected: usize) -> Vec<Value> {
        let records = self
            .records_within(user, path, expected, Duration::from_secs(15))
            .await;
        assert_eq!(records.len(), expected, "{path}: {records:#?}");
        records
    }

    /// The records once there are at least so many. The database may be away in between.
    pub async fn records_within(&self, user: &User, path: &str, least: usize, limit: Duration) -> Vec<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let page = self.ask_admin(user, Method::GET, path, None).await;
            let found = if page.status.is_success() {
                page.json()["items"].as_array().cloned()
            } else {
                None
            };
            match found {
                Some(records) if records.len() >= least => return records,
                _ => assert!(
                    Instant::now() < deadline,
                    "{path}: {least} expected, found {}",
                    page.text()
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops everything in order and searches all that the run left behind.
    pub async fn end(mut self) {
        self.ended = true;
        let metrics = self.send(self.http.get(self.admin("/metrics"))).await.succeeded();
        assert!(metrics.text().contains("voxgate_"), "metrics are served");
        self.planted.search_folder(self.folder());
        for node in &mut self.nodes {
            node.terminate().await;
        }
        self.search_remains().await;
    }

    /// The same for a run whose nodes have ended already.
    pub async fn end_stopped(mut self) {
        self.ended = true;
        self.search_remains().await;
    }

    async fn search_remains(&self) {
        for node in &self.nodes {
            self.planted
                .search("the process's output", node.output().as_bytes());
        }
        self.planted.search_folder(self.folder());
        if let Some(database) = &self.database {
            self.planted.search("the database's dump", &database.dump().await);
        }
        self.planted.conclude();
        let complaints: Vec<String> = self
            .fakes
            .all()
            .iter()
            .flat_map(|fake| fake.complaints())
            .collect();
        assert!(
            complaints.is_empty(),
            "providers complain:\n{}",
            complaints.join("\n")
        );
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("--- what voxgate printed ---\n{}", node.output());
            }
        } else {
            assert!(
                self.ended,
                "a run ends with World::end, or nobody has searched it"
            );
        }
    }
}

impl User {
    pub fn of_token(name: &str, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: token.to_owned(),
        }
    }
}

fn base_config(fakes: &Fakes) -> Table {
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
    config
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
