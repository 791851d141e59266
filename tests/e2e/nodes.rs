//! Several nodes on one Postgres: a change made on one holds on all.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use crate::fakes::Behaviour;
use crate::harness::{Database, User, World};

/// How old a node's knowledge may be.
const STALE: Duration = Duration::from_secs(2);

async fn models_on(world: &World, node: usize, user: &User) -> StatusCode {
    let url = format!("http://{}/elevenlabs/v1/models", world.nodes[node].gateway);
    world
        .send(world.http.get(url).header("xi-api-key", &user.token))
        .await
        .status
}

async fn becomes(world: &World, node: usize, user: &User, status: u16) {
    let deadline = Instant::now() + STALE;
    loop {
        let got = models_on(world, node, user).await;
        if got == status {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "node {node} still answers {got}, not {status}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_one_node_holds_on_the_other() {
    let mut world = World::start(Database::Postgres).await;
    world.start_node().await;
    let user = world.user("ann").await;
    assert_eq!(models_on(&world, 1, &user).await, 424);

    let first = world.stored_key(&user, "elevenlabs").await;
    becomes(&world, 1, &user, 200).await;

    let second = world.stored_key(&user, "elevenlabs").await;
    tokio::time::sleep(STALE).await;
    let before = world.fakes.elevenlabs.calls_with(&first).len();
    assert_eq!(models_on(&world, 1, &user).await, 200);
    assert_eq!(
        world.fakes.elevenlabs.calls_with(&first).len(),
        before,
        "the old key is not used any more"
    );
    assert!(!world.fakes.elevenlabs.calls_with(&second).is_empty());

    world.fakes.elevenlabs.treat(&second, Behaviour::Normal);
    world
        .ask_admin(&user, Method::DELETE, "/api/v1/credentials/elevenlabs", None)
        .await
        .succeeded();
    becomes(&world, 1, &user, 424).await;

    let token = world.read(&user, "/api/v1/tokens").await["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    world
        .ask_admin(&user, Method::DELETE, &format!("/api/v1/tokens/{token}"), None)
        .await
        .succeeded();
    assert_eq!(
        models_on(&world, 0, &user).await,
        401,
        "at once where it was revoked"
    );
    becomes(&world, 1, &user, 401).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_all_nodes_come_together() {
    let mut world = World::start(Database::Postgres).await;
    world.start_node().await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    becomes(&world, 1, &user, 200).await;
    // What was asked until the second node knew is on record as refusals, not as calls.
    world.usage(&user, 1).await;
    for _ in 0..5 {
        assert_eq!(models_on(&world, 0, &user).await, 200);
        assert_eq!(models_on(&world, 1, &user).await, 200);
    }
    world.usage(&user, 11).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_may_start_at_once_on_an_empty_database() {
    use crate::harness::command::voxgate;
    use crate::harness::node::Node;
    use throwaway_postgres::TestDatabase;
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().expect("a folder");
    let start = |number: usize| {
        let mut command = voxgate(folder.path());
        command.arg("serve");
        command
            .env("VOXGATE__GATEWAY__LISTEN", "127.0.0.1:0")
            .env("VOXGATE__ADMIN__LISTEN", "127.0.0.1:0");
        command.env("VOXGATE__DATABASE__URL", database.url("whatever"));
        command.env(
            "VOXGATE__RECORD__JOURNAL",
            folder.path().join(format!("journal-{number}")),
        );
        Node::start(command)
    };
    let (mut one, mut two) = tokio::join!(start(1), start(2));
    one.terminate().await;
    two.terminate().await;
}
