//! A throw-away Postgres server for this test process, from the installed binaries.
//!
//! A shell waits beside it for our end of a pipe to close, which it does however this process ends, and then
//! stops the server and removes its folder.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

const WATCH: &str = r#"
"$0" -D "$1" -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off >"$3/log" 2>&1 &
server=$!
read -r line
kill -QUIT $server
wait $server
rm -rf "$3"
"#;

struct Server {
    port: u16,
    _watch: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The URL of a new, empty database.
pub async fn new_database() -> String {
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start))
        .await
        .unwrap();
    let name = format!("vault_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
    let mut admin = connect(server.port).await;
    admin
        .execute(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .await
        .unwrap();
    admin.close().await.unwrap();
    format!("postgres://voxgate@127.0.0.1:{}/{name}", server.port)
}

async fn connect(port: u16) -> PgConnection {
    let url = format!("postgres://voxgate@127.0.0.1:{port}/postgres");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match PgConnection::connect(&url).await {
            Ok(connection) => return connection,
            Err(error) if Instant::now() > deadline => panic!("Postgres does not come up: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn start() -> Server {
    let binaries = binaries();
    let folder = tempfile::Builder::new()
        .prefix("voxgate-postgres-")
        .tempdir()
        .unwrap()
        .keep();
    let user = other_user_if_root();
    if let Some((uid, gid)) = user {
        chown(&folder, Some(uid), Some(gid)).unwrap();
    }
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
    let made = as_user(&mut initdb, user, &folder).output().unwrap();
    assert!(
        made.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut watch = Command::new("sh");
    watch
        .args(["-c", WATCH])
        .arg(binaries.join("postgres"))
        .arg(&data)
        .arg(port.to_string())
        .arg(&folder);
    let mut watch = as_user(&mut watch, user, &folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    watch.stdin.as_mut().unwrap().flush().unwrap();
    Server { port, _watch: watch }
}

fn as_user<'c>(command: &'c mut Command, user: Option<(u32, u32)>, folder: &Path) -> &'c mut Command {
    command.current_dir(folder);
    match user {
        Some((uid, gid)) => command.uid(uid).gid(gid),
        None => command,
    }
}

/// Postgres refuses to run as root.
fn other_user_if_root() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    Some(
        ids("postgres")
            .or_else(|| ids("nobody"))
            .expect("a user other than root, to run Postgres as"),
    )
}

fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    let newest_installed = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = versions
            .filter_map(|entry| Some(entry.ok()?.path()))
            .max_by_key(version)?;
        Some(newest.join("bin"))
    };
    let found = in_path
        .or_else(newest_installed)
        .filter(|folder| folder.join("initdb").exists());
    found.expect("this suite needs Postgres: install it (`apt-get install postgresql`), no server need run")
}
