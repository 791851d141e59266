//! The first minute: `voxgate serve` with nothing at all, and the lines it prints.

use std::time::Duration;

use tokio::process::Command;

use crate::harness::command::{run, voxgate};
use crate::harness::node::Node;

/// Nothing but free ports, so that tests can run beside a gateway that has the usual ones.
fn serve(folder: &std::path::Path) -> Command {
    let mut command = voxgate(folder);
    command.arg("serve");
    command
        .env("VOXGATE__GATEWAY__LISTEN", "127.0.0.1:0")
        .env("VOXGATE__ADMIN__LISTEN", "127.0.0.1:0");
    command
}

fn tokens_in(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("vxg_")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_says_what_it_made_and_shows_a_call_that_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::start(serve(folder.path())).await;
    let said = said_with(&node, "curl ").await;
    assert!(said.contains("voxgate-data"), "it says where the data is: {said}");
    assert!(!tokens_in(&said).is_empty(), "it shows a token: {said}");

    let line = said
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("curl "))
        .expect("a line to try")
        .to_owned();
    let tried =
        run(Command::new("sh").args(["-c", &line.replacen("curl ", "curl -sS --fail-with-body ", 1)])).await;
    let tried = tried.succeeded();
    assert!(
        serde_json::from_str::<serde_json::Value>(&tried.stdout).is_ok(),
        "{}",
        tried.stdout
    );

    use std::os::unix::fs::PermissionsExt;
    let mode = |name: &str| {
        let path = folder.path().join("voxgate-data").join(name);
        std::fs::metadata(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("master.key"), 0o600);
    assert_eq!(mode("voxgate.db"), 0o600);
    node.terminate().await;

    let mut again = Node::start(serve(folder.path())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        tokens_in(&again.output()).is_empty(),
        "the token is shown once: {}",
        again.output()
    );
    again.terminate().await;
}

/// What a node has printed, once `mark` is in it.
async fn said_with(node: &Node, mark: &str) -> String {
    for _ in 0..200 {
        let output = node.output();
        if output.contains(mark) && output.ends_with('\n') {
            return output;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{mark:?} was never printed: {}", node.output());
}
