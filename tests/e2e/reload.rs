//! What a signal changes while calls go on, and what it leaves alone when the configuration cannot be used.

use std::time::{Duration, Instant};

use http::Method;
use toml::Table;

use crate::fakes::Behaviour;
use crate::harness::config::{secret, set};
use crate::harness::{Database, User, World, calls};

const OLD: &str = "https://old.example.com";
const NEW: &str = "https://new.example.com";

/// The origin that pages may call from.
async fn origin(world: &World) -> Option<&'static str> {
    for origin in [OLD, NEW] {
        let preflight = world
            .http
            .request(Method::OPTIONS, world.gateway("/elevenlabs/v1/models"))
            .header("origin", origin)
            .header("access-control-request-method", "GET");
        let answer = world.send(preflight).await;
        if answer.header("access-control-allow-origin") == Some(origin) {
            return Some(origin);
        }
    }
    None
}

/// Writes what `change` makes of the configuration, signals, and waits until the log says what came of it.
async fn reload(world: &mut World, change: impl FnOnce(&mut Table), said: &str) {
    let before = world.node().output().matches(said).count();
    change(&mut world.config);
    world.write_config();
    world.node().signal("HUP").await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.node().output().matches(said).count() == before {
        assert!(
            Instant::now() < deadline,
            "{said:?} is not said:\n{}",
            world.node().output()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn models_status(world: &World, user: &User) -> u16 {
    calls::elevenlabs_models()
        .through(world, user)
        .await
        .status
        .as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_takes_over_what_can_change_live() {
    let mut world = World::configured(Database::Sqlite, |config, _| {
        set(config, "gateway.cors_origins", vec![OLD])
    })
    .await;
    let user = world.user("ann").await;
    assert_eq!(models_status(&world, &user).await, 424);
    let system = secret("system");
    world.planted.plant("the system's key", &system);
    world.fakes.elevenlabs.treat(&system, Behaviour::Normal);
    let change = |config: &mut Table| {
        set(config, "gateway.cors_origins", vec![NEW]);
        set(config, "providers.elevenlabs.api_key", system.as_str());
        set(config, "log.level", "debug");
    };
    reload(&mut world, change, "\"configuration reloaded\"").await;
    assert_eq!(origin(&world).await, Some(NEW));
    assert_eq!(models_status(&world, &user).await, 200);
    world.end().await;
}

/// Each of these is noticed by another part, and none of the others may have gone ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_cannot_be_used_changes_nothing() {
    let mut world = World::configured(Database::Sqlite, |config, _| {
        set(config, "gateway.cors_origins", vec![OLD])
    })
    .await;
    let sound = world.config.clone();
    for (key, value) in [
        ("log.level", toml::Value::from("gateway=loudest")),
        ("auth.jwt", vec![issuer_without_its_file()].into()),
        ("providers.elevenlabs.hosts.nowhere", "https://a.example".into()),
        ("gateway.listn", "127.0.0.1:1".into()),
    ] {
        let change = |config: &mut Table| {
            *config = sound.clone();
            set(config, "gateway.cors_origins", vec![NEW]);
            set(config, key, value);
        };
        reload(&mut world, change, "\"configuration not reloaded\"").await;
        assert_eq!(origin(&world).await, Some(OLD), "{key}");
    }
    world.end().await;
}

fn issuer_without_its_file() -> Table {
    let mut issuer = Table::new();
    set(&mut issuer, "issuer", "https://id.example.com");
    set(&mut issuer, "audience", "voxgate");
    set(&mut issuer, "algorithms", vec!["HS256"]);
    set(&mut issuer, "secret_file", "/nowhere/issuer.secret");
    issuer
}
