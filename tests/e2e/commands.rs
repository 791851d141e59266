//! The command line: what it finds, what it says, and with which code it ends.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::calls;
use crate::harness::command::{run, voxgate};
use crate::harness::config::set;
use crate::harness::node::Node;
use crate::harness::{Database, World, on_both_databases};

on_both_databases!(
    check_finds_what_is_wrong,
    a_master_key_that_does_not_fit_refuses_to_start
);

#[tokio::test]
async fn wrong_usage_ends_with_two_and_help_with_zero() {
    let folder = tempfile::tempdir().expect("a folder");
    let wrong: &[&[&str]] = &[
        &[],
        &["dance"],
        &["serve", "--loud"],
        &["token", "create"],
        &["token", "create", "--user", " "],
        &["token", "create", "--user", "ann", "--ttl", "0s"],
        &["token", "create", "--user", "ann", "--ttl", "soon"],
        &["token", "revoke", "x"],
        &["keys"],
    ];
    for arguments in wrong {
        let ran = run(voxgate(folder.path()).args(*arguments)).await.failed(2);
        assert!(!ran.stderr.is_empty(), "{arguments:?} says what is wrong");
    }
    let commands = [
        "",
        "serve",
        "check",
        "migrate",
        "token",
        "token create",
        "token list",
        "token revoke",
        "keys rotate",
        "provider check",
    ];
    for command in commands {
        let ran = run(voxgate(folder.path())
            .args(command.split_whitespace())
            .arg("--help"))
        .await
        .succeeded();
        assert!(ran.stdout.contains("Usage"), "{command}: {}", ran.stdout);
        let takes_config = !matches!(command, "" | "token" | "provider check");
        assert!(
            !takes_config || ran.stdout.contains("--config"),
            "{command}: {}",
            ran.stdout
        );
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("list it").count(),
        0,
        "nothing is made on the way"
    );
}

#[tokio::test]
async fn an_unknown_key_is_named_with_its_file_and_the_nearest_known_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("odd.toml");
    std::fs::write(&file, "[gateway]\nlisten = \"127.0.0.1:0\"\nworkerz = 2\n").expect("write it");
    for command in ["serve", "check"] {
        let ran = run(voxgate(folder.path()).args([command, "--config", "odd.toml"]))
            .await
            .failed(1);
        let said = ran.stdout + &ran.stderr;
        for expected in ["odd.toml", "gateway.workerz", "workers"] {
            assert!(
                said.contains(expected),
                "{command} does not name {expected}: {said}"
            );
        }
    }
    let from_environment = run(voxgate(folder.path())
        .arg("check")
        .env("VOXGATE__GATEWAY__LISTN", "x"))
    .await
    .failed(1);
    let said = (from_environment.stdout + &from_environment.stderr).to_lowercase();
    assert!(said.contains("listn") && said.contains("listen"), "{said}");
    let absent = run(voxgate(folder.path()).args(["check", "--config", "absent.toml"]))
        .await
        .failed(1);
    assert!((absent.stdout + &absent.stderr).contains("absent.toml"));
}

#[tokio::test]
async fn check_looks_at_everything_before_there_is_a_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("voxgate.toml");
    let issuer = |rest: &str| format!("[[auth.jwt]]\nissuer = \"x\"\naudience = \"y\"\n{rest}\n");
    let table = [
        (
            issuer("algorithms = [\"none\"]\nsecret_file = \"s\""),
            "auth.jwt",
            "none",
        ),
        (
            issuer("algorithms = [\"HS256\"]\nsecret_file = \"absent\""),
            "auth.jwt",
            "absent",
        ),
        (
            "[gateway]\ncors_origins = [\"nonsense\"]\n".to_owned(),
            "gateway.cors_origins",
            "nonsense",
        ),
        (
            "[providers.gemini]\nbase_urls = [\"http://10.0.0.5:8000/v1\"]\n".to_owned(),
            "providers.gemini.base_urls",
            "no setting that is a URL",
        ),
        ("[log]\nlevel = \"a=b=c\"\n".to_owned(), "log.level", "a=b=c"),
    ];
    for (text, key, value) in table {
        std::fs::write(&file, text).expect("write it");
        let ran = run(voxgate(folder.path()).args(["check", "--config", "voxgate.toml"]))
            .await
            .failed(1);
        let said = ran.stdout + &ran.stderr;
        for expected in ["voxgate.toml", key, value] {
            assert!(said.contains(expected), "{expected} is not named: {said}");
        }
    }
}

async fn check_finds_what_is_wrong(database: Database) {
    let mut world = World::start(database).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    world.command(&["check"]).await.succeeded();
    world.nodes[0].terminate().await;
    world.command(&["check"]).await.succeeded();

    let descriptor = world.folder().join("broken.toml");
    std::fs::write(&descriptor, "id = \"broken\"\nnmae = \"Broken\"\n").expect("write it");
    let linted = world
        .command_alone(&["provider", "check", "broken.toml"])
        .await
        .failed(1);
    assert!((linted.stdout + &linted.stderr).contains("broken.toml"));

    let before = world.config.clone();
    set(
        &mut world.config,
        "providers.azure.hosts.tts",
        "ftp://example.com",
    );
    world.write_config();
    let ran = world.command(&["check"]).await.failed(1);
    assert!(
        (ran.stdout + &ran.stderr).contains("azure"),
        "the provider is named"
    );
    world.config = before;
    world.write_config();
    world.restart().await;
    calls::elevenlabs_models()
        .through(&world, &user)
        .await
        .succeeded();
    world.end().await;
}

async fn a_master_key_that_does_not_fit_refuses_to_start(database: Database) {
    let mut world = World::start(database).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    world.nodes[0].terminate().await;
    let file = world.folder().join("voxgate-data/master.key");
    let mode = std::fs::metadata(&file)
        .expect("the master key")
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o600);
    let good = std::fs::read_to_string(&file).expect("read it");

    let wrong = {
        let other = tempfile::tempdir().expect("a folder");
        run(voxgate(other.path()).args(["token", "create", "--user", "x"]))
            .await
            .succeeded();
        std::fs::read_to_string(other.path().join("voxgate-data/master.key")).expect("another master key")
    };
    for (what, content) in [
        ("missing", None),
        ("truncated", Some(&good[..good.len() / 2])),
        ("wrong", Some(wrong.as_str())),
    ] {
        match content {
            Some(content) => std::fs::write(&file, content).expect("write it"),
            None => std::fs::remove_file(&file).expect("remove it"),
        }
        for command in ["serve", "check"] {
            let ran = world.command(&[command]).await.failed(1);
            assert!(
                (ran.stdout + &ran.stderr).contains("master.key"),
                "{what}: the file is named"
            );
        }
        let left = std::fs::read_to_string(&file).ok();
        assert_eq!(left.as_deref(), content, "{what}: nothing is touched");
        if content.is_none() {
            std::fs::write(&file, "").expect("make it again");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("close it");
        }
    }
    std::fs::write(&file, &good).expect("bring it back");
    world.restart().await;
    calls::elevenlabs_models()
        .through(&world, &user)
        .await
        .succeeded();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_listed_without_being_shown() {
    let world = World::start(Database::Sqlite).await;
    let user = world
        .user_with("ann", &["--name", "laptop", "--ttl", "30d"])
        .await;
    let text = world
        .command(&["token", "list", "--user", "ann"])
        .await
        .succeeded();
    assert!(text.stdout.contains("laptop"), "{}", text.stdout);
    let json = world
        .command(&["token", "list", "--user", "ann", "--format", "json"])
        .await
        .succeeded();
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let token = &json["items"][0];
    assert_eq!(token["name"], "laptop");
    assert!(
        user.token
            .starts_with(token["prefix"].as_str().expect("a prefix"))
    );
    assert!(
        token["expires_at"].is_string() && token["token"].is_null(),
        "{token}"
    );

    let operator = world.user_with("root", &["--role", "operator"]).await;
    assert_eq!(
        world.read(&operator, "/api/v1/me").await["roles"],
        serde_json::json!(["operator"])
    );
    world.read(&operator, "/api/v1/audit?owner=ann").await;
    world
        .ask_admin(&user, http::Method::GET, "/api/v1/audit?owner=root", None)
        .await
        .problem(403, "forbidden");
    world.end().await;
}

#[tokio::test]
async fn every_built_in_provider_file_passes_the_linter() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/providers");
    let files: Vec<String> = std::fs::read_dir(folder)
        .expect("list the provider files")
        .map(|entry| entry.expect("an entry").path().to_string_lossy().into_owned())
        .collect();
    assert!(files.len() >= 3);
    let nowhere = tempfile::tempdir().expect("a folder");
    run(voxgate(nowhere.path()).args(["provider", "check"]).args(&files))
        .await
        .succeeded();
}

#[tokio::test]
async fn migrations_are_left_to_their_command_when_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let command = |verb: &'static str| {
        let mut command = voxgate(folder.path());
        command.arg(verb).env("VOXGATE__DATABASE__MIGRATE", "false");
        command
            .env("VOXGATE__GATEWAY__LISTEN", "127.0.0.1:0")
            .env("VOXGATE__ADMIN__LISTEN", "127.0.0.1:0");
        command
    };
    let refused = run(&mut command("serve")).await.failed(1);
    assert!(refused.stderr.contains("migrat"), "{}", refused.stderr);
    run(&mut command("migrate")).await.succeeded();
    run(&mut command("migrate")).await.succeeded();
    Node::start(command("serve")).await.terminate().await;
}
