//! One running `voxgate serve`.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

pub struct Node {
    pub gateway: String,
    pub admin: String,
    child: Child,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Node {
    /// Starts the command and waits until it says where it listens.
    pub async fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start voxgate");
        let output = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().expect("piped"), output.clone());
        keep(child.stderr.take().expect("piped"), output.clone());
        let deadline = Instant::now() + Duration::from_secs(60);
        let (gateway, admin) = loop {
            if let Some(addresses) = listening(&output.lock().unwrap()) {
                break addresses;
            }
            let ended = child.try_wait().expect("ask for its status");
            let said = || String::from_utf8_lossy(&output.lock().unwrap()).into_owned();
            assert!(ended.is_none(), "voxgate ended at start, {ended:?}:\n{}", said());
            assert!(Instant::now() < deadline, "voxgate does not listen:\n{}", said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        Self {
            gateway,
            admin,
            child,
            output,
        }
    }

    pub fn process_id(&self) -> u32 {
        self.child.id().expect("the process runs")
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Sends a signal by name, as an operator or systemd does.
    pub async fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.process_id());
        let sent = Command::new("sh")
            .args(["-c", &line])
            .status()
            .await
            .expect("run kill");
        assert!(sent.success(), "{line}");
    }

    /// Waits for the end that a signal asked for.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("voxgate still runs:\n{}", self.output()))
            .expect("wait for voxgate")
    }

    pub async fn terminate(&mut self) {
        self.signal("TERM").await;
        let status = self.ended(Duration::from_secs(45)).await;
        assert!(
            status.success(),
            "voxgate ended with {status}:\n{}",
            self.output()
        );
    }

    /// As a power cut does it.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("kill voxgate");
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("read its status");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("a process has memory");
        let kibibytes: u64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number");
        kibibytes * 1024
    }
}

fn keep(mut stream: impl AsyncRead + Unpin + Send + 'static, output: Arc<Mutex<Vec<u8>>>) {
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            output.lock().unwrap().extend_from_slice(&buffer[..read]);
        }
    });
}

/// The addresses in the log line that says `listening`.
fn listening(output: &[u8]) -> Option<(String, String)> {
    let lines = output
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let fields = |line: Value| {
        if line["fields"].is_object() {
            line["fields"].clone()
        } else {
            line
        }
    };
    let line = lines
        .map(fields)
        .find(|fields| fields["message"] == "listening")?;
    Some((
        line["gateway"].as_str()?.to_owned(),
        line["admin"].as_str()?.to_owned(),
    ))
}
