//! One test's world: a folder, a database, fakes of every provider, and a gateway between them.

use reqwest::Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use throwaway_postgres::TestDatabase;
use toml::Table;

use super::Planted;
use super::command;
use super::config::{base_config, path_value, secret, set};
use super::node::Node;
use crate::fakes::{Fakes, tls};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

pub struct World {
    pub fakes: Fakes,
    /// Shared with sockets that outlive a borrow of the world.
    pub planted: Arc<Planted>,
    pub nodes: Vec<Node>,
    pub http: Client,
    pub config: Table,
    folder: TempDir,
    database: Option<TestDatabase>,
    ended: bool,
}

impl World {
    pub async fn start(database: Database) -> Self {
        Self::configured(database, |_, _| {}).await
    }

    /// Starts after `change` has had its way with the configuration; it gets the run's folder too.
    pub async fn configured(database: Database, change: impl FnOnce(&mut Table, &Path)) -> Self {
        let fakes = Fakes::start(None).await;
        Self::with_fakes(database, fakes, change).await
    }

    /// The same with providers that speak TLS; the gateway trusts their authority.
    pub async fn over_tls(
        database: Database,
        authority: &tls::Authority,
        change: impl FnOnce(&mut Table, &Path),
    ) -> Self {
        let identity = authority.identity();
        let fakes = Fakes::start(Some(&identity)).await;
        Self::with_fakes(database, fakes, |config, folder| {
            set(config, "gateway.ca_file", path_value(&authority.write(folder)));
            change(config, folder);
        })
        .await
    }

    /// The same between fakes of the caller's choice.
    pub async fn with_fakes(kind: Database, fakes: Fakes, change: impl FnOnce(&mut Table, &Path)) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("voxgate-run-")
            .tempdir()
            .expect("a folder for the run");
        let planted = Arc::new(Planted::default());
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
        install_cryptography();
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

    /// Stops everything in order and searches all that the run left behind.
    pub async fn end(self) {
        let found = self.findings().await;
        assert!(found.is_empty(), "secrets leaked:\n{}", found.join("\n"));
    }

    /// The same for a run in which something is to be found.
    pub async fn findings(mut self) -> Vec<String> {
        self.ended = true;
        let metrics = self.send(self.http.get(self.admin("/metrics"))).await.succeeded();
        assert!(metrics.text().contains("voxgate_"), "metrics are served");
        self.planted.search_folder(self.folder());
        for node in &mut self.nodes {
            node.terminate().await;
            self.planted
                .search("the process's output", node.output().as_bytes());
        }
        self.planted.search_folder(self.folder());
        if let Some(database) = &self.database {
            self.planted.search("the database's dump", &database.dump().await);
        }
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
        self.planted.found()
    }
}

/// Only the first call in the process installs anything.
fn install_cryptography() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
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
