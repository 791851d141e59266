//! Ends and interruptions: signals, power cuts, providers that fail, a database that goes away, keys that rotate.

use std::time::{Duration, Instant};

use crate::fakes::{Behaviour, Ending};
use crate::harness::calls;
use crate::harness::config::set;
use crate::harness::{Database, World, on_both_databases};

on_both_databases!(
    a_stream_outlives_the_signal_to_stop,
    what_was_recorded_survives_a_power_cut,
    master_keys_rotate_while_traffic_flows
);

async fn a_stream_outlives_the_signal_to_stop(database: Database) {
    let mut world = World::start(database).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.fakes.elevenlabs.treat(
        &key,
        Behaviour::Stream {
            pieces: 20,
            pause: Duration::from_millis(100),
        },
    );
    let mut response = calls::elevenlabs_stream("two seconds")
        .signed(&world, &user)
        .send()
        .await
        .expect("an answer");
    let mut received = response.chunk().await.expect("a piece").expect("a piece").len();
    world.node().signal("TERM").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let late = reqwest::Client::builder().build().expect("a client");
    late.get(world.gateway("/healthz"))
        .send()
        .await
        .expect_err("no new caller is let in");
    while let Some(piece) = response.chunk().await.expect("the stream is whole") {
        received += piece.len();
    }
    assert_eq!(received, 20 * 4_096);
    let over = Instant::now();
    let status = world.nodes[0].ended(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
    assert!(
        over.elapsed() < Duration::from_secs(3),
        "it ends with the last stream, not {:?} later",
        over.elapsed()
    );

    world.fakes.elevenlabs.treat(&key, Behaviour::Normal);
    world.restart().await;
    let usage = world.usage(&user, 1).await;
    assert_eq!(
        (usage[0]["outcome"].as_str(), usage[0]["bytes_out"].as_u64()),
        (Some("ok"), Some(20 * 4_096))
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_end_is_cut_at_the_deadline() {
    let mut world = World::configured(Database::Sqlite, |config, _| {
        set(config, "gateway.drain_seconds", 1)
    })
    .await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.fakes.elevenlabs.treat(
        &key,
        Behaviour::Stream {
            pieces: 10_000,
            pause: Duration::from_millis(20),
        },
    );
    let mut response = calls::elevenlabs_stream("for ever")
        .signed(&world, &user)
        .send()
        .await
        .expect("an answer");
    response.chunk().await.expect("a piece");
    let asked = Instant::now();
    world.node().signal("TERM").await;
    while let Ok(Some(_)) = response.chunk().await {}
    world.nodes[0].ended(Duration::from_secs(15)).await;
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "it took {:?} to end",
        asked.elapsed()
    );
    world.restart().await;
    assert_eq!(world.usage(&user, 1).await[0]["outcome"], "interrupted");
    world.end().await;
}

async fn what_was_recorded_survives_a_power_cut(database: Database) {
    let mut world = World::start(database).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    for number in 0..25 {
        calls::elevenlabs_tts(&format!("call {number}"))
            .through(&world, &user)
            .await
            .succeeded();
    }
    // Records reach the disk within 50 milliseconds; the database may not have them yet.
    tokio::time::sleep(Duration::from_millis(250)).await;
    world.nodes[0].kill().await;
    world.restart().await;
    world.usage(&user, 25).await;
    calls::elevenlabs_tts("and on")
        .through(&world, &user)
        .await
        .succeeded();
    world.usage(&user, 26).await;
    world.end().await;
}

async fn master_keys_rotate_while_traffic_flows(database: Database) {
    let world = World::start(database).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    for number in 0..5 {
        let other = world.user(&format!("user-{number}")).await;
        world.stored_key(&other, "gemini").await;
    }
    let key_file = world.folder().join("voxgate-data/master.key");
    let before = std::fs::read_to_string(&key_file).expect("read the master key");
    let traffic = async {
        let mut calls_made = 0;
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            calls::elevenlabs_tts("while it rotates")
                .through(&world, &user)
                .await
                .succeeded();
            let fresh = world.user(&format!("fresh-{calls_made}")).await;
            world.stored_key(&fresh, "azure").await;
            calls::azure_voices().through(&world, &fresh).await.succeeded();
            calls_made += 1;
        }
        calls_made
    };
    let rotation = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            world.command(&["keys", "rotate"]).await.succeeded();
        }
    };
    let (calls_made, ()) = tokio::join!(traffic, rotation);
    assert!(calls_made > 0);
    assert_ne!(
        std::fs::read_to_string(&key_file).expect("read the master key"),
        before
    );
    world.plant_master_key();
    world.command(&["check"]).await.succeeded();
    assert!(!world.fakes.elevenlabs.calls_with(&key).is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_is_a_bad_gateway() {
    let closed = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        socket.local_addr().expect("its number")
    };
    let mut world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    for provider in ["elevenlabs", "gemini"] {
        world.stored_key(&user, provider).await;
    }
    world.nodes[0].terminate().await;
    // The system's configuration changes; the keys were sealed for the old hosts and go nowhere else.
    set(
        &mut world.config,
        "providers.elevenlabs.hosts.api",
        format!("http://{closed}"),
    );
    set(
        &mut world.config,
        "providers.gemini.hosts.api",
        "https://voxgate-nowhere.invalid",
    );
    set(
        &mut world.config,
        "providers.elevenlabs.api_key",
        "sk-of-the-system",
    );
    world.write_config();
    world.restart().await;
    calls::elevenlabs_tts("moved")
        .through(&world, &user)
        .await
        .refused(424, "credential_invalid");

    let stranger = world.user("bob").await;
    let answer = calls::elevenlabs_tts("down")
        .through(&world, &stranger)
        .await
        .refused(502, "provider_unreachable");
    assert!(answer.json()["detail"]["message"].is_string());
    let usage = world.usage(&stranger, 1).await;
    assert_eq!(
        (usage[0]["outcome"].as_str(), usage[0]["status"].as_u64()),
        (Some("error"), None)
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_resolve_is_a_bad_gateway() {
    let world = World::configured(Database::Sqlite, |config, _| {
        set(
            config,
            "providers.gemini.hosts.api",
            "https://voxgate-nowhere.invalid",
        );
        set(config, "providers.gemini.api_key", "sk-of-the-system");
    })
    .await;
    let user = world.user("ann").await;
    calls::gemini_tts("nowhere")
        .through(&world, &user)
        .await
        .refused(502, "provider_unreachable");
    let answer = world.put_key(&user, "gemini", &world.key("gemini")).await;
    answer.problem(502, "provider_unreachable");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_of_a_provider_is_a_timeout() {
    let world = World::configured(Database::Sqlite, |config, _| {
        set(config, "providers.elevenlabs.timeouts.first_byte_seconds", 2);
        set(config, "providers.elevenlabs.timeouts.idle_seconds", 2);
    })
    .await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let fake = &world.fakes.elevenlabs;

    fake.treat(&key, Behaviour::StallBeforeHead);
    let asked = Instant::now();
    calls::elevenlabs_tts("silence")
        .through(&world, &user)
        .await
        .refused(504, "provider_timeout");
    assert!(asked.elapsed() < Duration::from_secs(5));
    fake.until(&key, "the call was given up", |seen| {
        seen.ending == Ending::Abandoned
    })
    .await;

    fake.treat(&key, Behaviour::StallAfter(3_000));
    let answer = calls::elevenlabs_stream("half").through(&world, &user).await;
    assert!(
        answer.broken && answer.body.len() == 3_000,
        "what went silent half-way never looks whole"
    );

    fake.treat(&key, Behaviour::CutBeforeHead);
    let answer = calls::elevenlabs_tts("cut").through(&world, &user).await;
    assert_eq!(answer.status, 502, "{}", answer.text());

    // Slower than any of these limits in all, and never silent for as long.
    fake.treat(
        &key,
        Behaviour::Stream {
            pieces: 6,
            pause: Duration::from_millis(700),
        },
    );
    let answer = calls::elevenlabs_stream("slow")
        .through(&world, &user)
        .await
        .succeeded();
    assert_eq!(answer.body.len(), 6 * 4_096);

    let outcomes: Vec<String> = world
        .usage(&user, 4)
        .await
        .iter()
        .map(|record| record["outcome"].as_str().unwrap_or("").to_owned())
        .collect();
    assert_eq!(
        outcomes.iter().filter(|outcome| *outcome == "ok").count(),
        1,
        "{outcomes:?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_already_known_are_served_while_the_database_is_away() {
    let relay = crate::harness::relay::Relay::start().await;
    let world = World::configured(Database::Postgres, |config, _| {
        let url = config["database"]["url"].as_str().expect("a URL").to_owned();
        set(config, "database.url", relay.before(&url));
    })
    .await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let stranger = world.user("bob").await;
    // Once a change made elsewhere is noticed, everything known is read anew.
    tokio::time::sleep(Duration::from_secs(1)).await;
    calls::elevenlabs_tts("known")
        .through(&world, &user)
        .await
        .succeeded();

    relay.cut();
    for _ in 0..3 {
        calls::elevenlabs_tts("still known")
            .through(&world, &user)
            .await
            .succeeded();
    }
    let unknown = calls::elevenlabs_tts("unknown")
        .through(&world, &stranger)
        .await
        .refused(503, "overloaded");
    assert!(unknown.header("retry-after").is_some());
    assert_eq!(
        world.send(world.http.get(world.gateway("/readyz"))).await.status,
        503
    );
    assert_eq!(
        world.send(world.http.get(world.gateway("/healthz"))).await.status,
        200
    );

    relay.mend();
    world
        .records_within(&user, "/api/v1/usage", 4, Duration::from_secs(30))
        .await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.send(world.http.get(world.gateway("/readyz"))).await.status != 200 {
        assert!(
            Instant::now() < deadline,
            "the database is back and nobody noticed"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.end().await;
}
