//! The Autobahn test suite against one strict server, directly and through the gateway: a pass-through must not
//! change a single case's outcome.
//!
//! `kosoku` (tests/sdk/requirements.txt) runs the suite's own cases. Its groups 12 and 13 are about compression,
//! which the gateway does not pass on, so that messages can be read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

use crate::fixture::Options;
use crate::socket_fixture::{INPUT, strict_echo};

/// A path whose messages nothing is taken out of.
pub const UNSCRUBBED: &str = "/azure/stt/speech/universal/v2";

/// What one case came to, by its number.
type Outcomes = BTreeMap<String, Value>;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_ends_through_the_gateway_as_it_ends_without_it() {
    let server = strict_echo().await;
    let options = Options {
        azure: Some(server.address),
        ..Options::to(server.address)
    };
    let fixture = options.start().await;
    let direct = outcomes(server.address, "/", &fixture.token).await;
    assert!(direct.len() > 300, "only {} cases ran", direct.len());
    for (case, outcome) in &direct {
        assert!(passes(outcome), "the server itself fails {case}: {outcome:#}");
    }
    let unscrubbed = outcomes(fixture.address(), UNSCRUBBED, &fixture.token).await;
    assert_eq!(differences(&direct, &unscrubbed), [""; 0]);

    let scrubbed = outcomes(fixture.address(), INPUT, &fixture.token).await;
    let direct_and_scrubbed = direct
        .iter()
        .map(|(case, direct)| (case, direct, &scrubbed[case]));
    let (broken, valid): (Vec<_>, Vec<_>) =
        direct_and_scrubbed.partition(|(_, direct, _)| direct["remoteCloseCode"] == 1002);
    for (case, direct, scrubbed) in valid {
        assert_eq!(direct, scrubbed, "{case}");
    }
    assert!(
        broken.len() > 40,
        "only {} cases break the protocol",
        broken.len()
    );
    for (case, direct, scrubbed) in broken {
        assert_fails_at_once(case, direct, scrubbed);
    }
}

/// Where messages are searched the gateway refuses a breach before the server does, in words of its own. It does not
/// wait for what the server would have said before, which the standard allows (RFC 6455, 7.1.7) and the suite
/// calls NON-STRICT.
fn assert_fails_at_once(case: &str, direct: &Value, scrubbed: &Value) {
    assert!(passes(scrubbed), "{case}: {scrubbed:#}");
    for same in ["remoteCloseCode", "behaviorClose", "wasClean", "droppedByMe"] {
        assert_eq!(direct[same], scrubbed[same], "{case}: {same}");
    }
    let received = |outcome: &Value| outcome["received"].as_array().unwrap().clone();
    assert!(
        received(direct).starts_with(&received(scrubbed)),
        "{case}: {scrubbed:#}"
    );
}

fn passes(outcome: &Value) -> bool {
    let fine = |verdict: &Value| ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&verdict.as_str().unwrap());
    fine(&outcome["behavior"]) && fine(&outcome["behaviorClose"])
}

fn differences(expected: &Outcomes, found: &Outcomes) -> Vec<String> {
    let differs = expected
        .iter()
        .filter(|(case, outcome)| found.get(*case) != Some(outcome));
    differs
        .map(|(case, outcome)| {
            format!(
                "{case}: {outcome}\nbecame {}",
                found.get(case).unwrap_or(&Value::Null)
            )
        })
        .collect()
}

/// Runs the suite against this path.
async fn outcomes(address: SocketAddr, path: &str, token: &str) -> Outcomes {
    let shim = Shim::start(address, path, token).await;
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let kosoku = installed(root.join(".venv/bin/kosoku"));
    let mut command = Command::new(kosoku);
    command.args(["--exclude", "12.*", "--exclude", "13.*", "--parallelism", "4"]);
    command.arg("--outdir").arg(folder.path());
    command.arg(shim.address.to_string());
    command.stdin(Stdio::null()).kill_on_drop(true);
    // It ends with 1 where a case fails; what each came to is in its reports.
    let output = timeout(Duration::from_secs(300), command.output())
        .await
        .expect("the suite does not end")
        .unwrap();
    let mut outcomes = Outcomes::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".json") && name.contains("_case_") {
            let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let id = report["id"].as_str().unwrap().to_owned();
            assert!(outcomes.insert(id, outcome(&report)).is_none());
        }
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!outcomes.is_empty(), "the suite did not run: {output:?}{said}");
    outcomes
}

/// What the server is seen to do, without what differs from run to run.
fn outcome(report: &Value) -> Value {
    let frames = report["wirelog"].as_array().into_iter().flatten();
    let received: Vec<_> = frames.filter(|entry| entry[0] == "RF").collect();
    let mut outcome = json!({ "frames": received });
    for part in [
        "behavior",
        "behaviorClose",
        "received",
        "remoteCloseCode",
        "remoteCloseReason",
        "wasClean",
        "wasNotCleanReason",
        "droppedByMe",
        "wasServerConnectionDropTimeout",
        "rxFrameStats",
    ] {
        outcome[part] = report[part].clone();
    }
    outcome
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run tests/setup", path.display());
    path
}

/// The suite asks for `/` without a token; this asks for more in its name, and passes on what follows byte for byte.
struct Shim {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shim {
    async fn start(to: SocketAddr, path: &str, token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let first_line =
            format!("GET {path} HTTP/1.1\r\nxi-api-key: {token}\r\nocp-apim-subscription-key: {token}\r\n");
        let first_line = match path {
            "/" => "GET / HTTP/1.1\r\n".to_owned(),
            _ => first_line,
        };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let first_line = first_line.clone();
                tokio::spawn(async move { pass(stream, to, &first_line).await.ok() });
            }
        });
        Self { address, task }
    }
}

async fn pass(mut from: TcpStream, to: SocketAddr, first_line: &str) -> std::io::Result<()> {
    let asked = b"GET / HTTP/1.1\r\n";
    let mut first = vec![0; asked.len()];
    from.read_exact(&mut first).await?;
    assert_eq!(first, asked);
    let mut to = TcpStream::connect(to).await?;
    from.set_nodelay(true)?;
    to.set_nodelay(true)?;
    to.write_all(first_line.as_bytes()).await?;
    copy_bidirectional(&mut from, &mut to).await?;
    Ok(())
}
