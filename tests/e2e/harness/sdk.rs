//! Runs the SDK scripts of `tests/sdk`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

/// A script, by the language its name ends in.
#[derive(Clone, Copy, Debug)]
pub struct Script(pub &'static str);

impl Script {
    /// What each of its calls gave, made with this base URL and key.
    pub async fn report(self, base_url: &str, key: &str, recording: &Path) -> Value {
        self.report_of(base_url, key, recording, &[]).await
    }

    /// The same of a script that takes more arguments.
    pub async fn report_of(self, base_url: &str, key: &str, recording: &Path, more: &[&str]) -> Value {
        let mut command = self.call(base_url, key, recording);
        command.args(more);
        self.run(command).await
    }

    /// The same over TLS, where the authority of this file is trusted besides others.
    pub async fn report_trusting(
        self,
        base_url: &str,
        key: &str,
        recording: &Path,
        authority: &Path,
    ) -> Value {
        let mut command = self.call(base_url, key, recording);
        // Python and Azure's native library read the one, Node the other.
        command
            .env("SSL_CERT_FILE", authority)
            .env("NODE_EXTRA_CA_CERTS", authority);
        self.run(command).await
    }

    fn call(self, base_url: &str, key: &str, recording: &Path) -> Command {
        let mut command = self.command();
        command.args([base_url, key]).arg(recording);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    async fn run(self, mut command: Command) -> Value {
        command.stdin(Stdio::null()).kill_on_drop(true);
        let limit = Duration::from_secs(150);
        let output = tokio::time::timeout(limit, command.output())
            .await
            .expect("the SDK's calls end")
            .expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} failed: {errors}", self.0);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{} prints no report: {error}", self.0))
    }

    fn command(self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("tests/sdk");
        let mut command = if self.0.ends_with(".py") {
            Command::new(installed(root.join(".venv/bin/python")))
        } else {
            installed(folder.join("node_modules/openai"));
            Command::new(installed(root.join(".venv/bin/node")))
        };
        command.arg(folder.join(self.0));
        command
    }
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: run tests/setup, which brings the official SDKs",
        path.display()
    );
    path
}
