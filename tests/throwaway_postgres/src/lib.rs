//! A throw-away Postgres server for a test process, from the installed binaries; one database per test.
//!
//! Postgres refuses to run as root, so root hands the cluster to another user. A shell stands between us and the
//! server: it ends when our end of its standard input closes, whichever way this process dies, and takes the
//! server and its folder with it. Of its two signals the first ends a server that has yet to install its handlers
//! (a shell starts what runs in the background with the second one ignored), the second one that has.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const GUARD: &str = r#"
folder=$1; shift
"$@" >"$folder/log" 2>&1 &
cat
kill -TERM $!
kill -QUIT $!
wait
rm -rf "$folder"
"#;

struct Cluster {
    binaries: PathBuf,
    port: u16,
    /// Holds the pipe whose end ends the server.
    _guard: Child,
}

/// A database of a test's own. It goes with the server.
pub struct TestDatabase {
    cluster: &'static Cluster,
    name: String,
}

/// The user and group that the server runs as.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

impl TestDatabase {
    pub async fn create() -> Self {
        tokio::task::spawn_blocking(|| {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let cluster = CLUSTER.get_or_init(Cluster::start);
            let name = format!("voxgate_{}", NEXT.fetch_add(1, Ordering::Relaxed));
            cluster.run("createdb", &[&name]);
            Self { cluster, name }
        })
        .await
        .expect("create a database")
    }

    /// The server trusts every password, so a run can plant one.
    pub fn url(&self, password: &str) -> String {
        format!(
            "postgres://voxgate:{password}@127.0.0.1:{}/{}",
            self.cluster.port, self.name
        )
    }

    /// Everything in the database, as text.
    pub async fn dump(&self) -> Vec<u8> {
        let (cluster, name) = (self.cluster, self.name.clone());
        tokio::task::spawn_blocking(move || cluster.run("pg_dump", &["--inserts", &name]))
            .await
            .expect("dump the database")
    }
}

impl Cluster {
    fn start() -> Self {
        let binaries = binaries();
        let folder = tempfile::Builder::new()
            .prefix("voxgate-postgres-")
            .tempdir()
            .expect("a folder")
            .keep();
        let account = account(&folder);
        let data = folder.join("data");
        let mut initdb = Command::new(binaries.join("initdb"));
        initdb
            .args([
                "-N",
                "-A",
                "trust",
                "-U",
                "voxgate",
                "--no-locale",
                "-E",
                "UTF8",
                "-D",
            ])
            .arg(&data);
        run(as_account(&mut initdb, account, &folder));

        let port = free_port();
        let mut guard = Command::new("sh");
        guard
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .arg(binaries.join("postgres"))
            .arg("-D")
            .arg(&data);
        guard.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        guard.args([
            "-c",
            "fsync=off",
            "-c",
            "synchronous_commit=off",
            "-c",
            "full_page_writes=off",
        ]);
        guard.args(["-c", "max_connections=300"]);
        guard
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let guard = as_account(&mut guard, account, &folder)
            .spawn()
            .expect("start Postgres");
        let cluster = Self {
            binaries,
            port,
            _guard: guard,
        };
        cluster.wait_until_ready(&folder);
        cluster
    }

    fn wait_until_ready(&self, folder: &Path) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut probe = Command::new(self.binaries.join("pg_isready"));
        probe.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        while !probe.status().expect("run pg_isready").success() {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "Postgres does not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(self.binaries.join(program));
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "voxgate"])
            .args(arguments);
        run(&mut command)
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A port below those that systems hand out by themselves, so that nothing else here gets it before the server does.
fn free_port() -> u16 {
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let mut candidates = first..first + 1_000;
    candidates
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// Where the server's programs are: where Debian puts those of its newest version, or in PATH.
fn binaries() -> PathBuf {
    const PROGRAMS: [&str; 5] = ["initdb", "postgres", "pg_isready", "createdb", "pg_dump"];
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    let in_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let mut folders = versions.into_iter().rev().chain(in_path);
    let found = folders.find(|folder| PROGRAMS.iter().all(|program| folder.join(program).exists()));
    found.expect("these tests need Postgres' server programs: install Debian's package postgresql")
}

fn account(folder: &Path) -> Option<Account> {
    let owner = std::fs::metadata(folder).expect("the folder just made");
    if owner.uid() != 0 {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
    let find = |name: &str| {
        let fields: Vec<&str> = accounts
            .lines()
            .find(|line| line.starts_with(name))?
            .split(':')
            .collect();
        Some(Account {
            user: fields.get(2)?.parse().ok()?,
            group: fields.get(3)?.parse().ok()?,
        })
    };
    let account = find("postgres:")
        .or_else(|| find("nobody:"))
        .expect("a user other than root to run Postgres");
    std::os::unix::fs::chown(folder, Some(account.user), Some(account.group)).expect("hand the folder over");
    Some(account)
}

fn as_account<'a>(command: &'a mut Command, account: Option<Account>, folder: &Path) -> &'a mut Command {
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command.current_dir(folder)
}
