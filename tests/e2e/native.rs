//! Native pass-through: what a caller gets through the gateway is what the provider sent, when it was sent.

use std::time::Duration;

use axum::body::Bytes;
use futures::stream;

use crate::fakes::{Behaviour, Ending, audio};
use crate::harness::calls::{self, assert_same, assert_streamed};
use crate::harness::{Database, World, on_both_databases};

on_both_databases!(every_call_of_every_provider_passes_unchanged);

async fn every_call_of_every_provider_passes_unchanged(database: Database) {
    let world = World::start(database).await;
    let user = world.user("ann").await;
    for provider in ["elevenlabs", "azure", "gemini"] {
        let key = world.stored_key(&user, provider).await;
        for call in calls::all().into_iter().filter(|call| call.provider == provider) {
            let direct = call.direct(&world, &key).await.succeeded();
            let through = call.through(&world, &user).await.succeeded().named();
            assert_same(&through, &direct);
            assert_eq!(through.header("x-voxgate-provider"), Some(provider));
            assert_eq!(through.header("x-voxgate-credential"), Some("user"));
            assert_eq!(through.code(), None);
            let seen = call.fake(&world).calls_with(&key);
            let [.., sent, received] = seen.as_slice() else {
                panic!("two calls were made")
            };
            assert_eq!(
                (&received.path, &received.raw_query),
                (&sent.path, &sent.raw_query)
            );
            assert_eq!(received.sha256, sent.sha256);
            assert_eq!(received.header("content-type"), sent.header("content-type"));
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_passed_on_as_they_come() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    for call in [
        calls::elevenlabs_stream("piece by piece"),
        calls::azure_tts("piece by piece"),
        calls::gemini_stream("p"),
    ] {
        let key = world.stored_key(&user, call.provider).await;
        let through = call.through(&world, &user).await.succeeded();
        assert_streamed(&through, &call.fake(&world).last_call(&key).sent);
    }
    world.end().await;
}

/// Calls of several users at once: each is paid with its own key and gets its own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_not_mixed_up() {
    const CALLS_EACH: usize = 40;
    let world = World::start(Database::Sqlite).await;
    let mut people = Vec::new();
    for name in ["ann", "bob", "cyd"] {
        let user = world.user(name).await;
        let key = world.stored_key(&user, "gemini").await;
        people.push((user, key));
    }
    let crowd = (0..CALLS_EACH * people.len()).map(async |number| {
        let (user, _) = &people[number % people.len()];
        let call = calls::gemini_tts(&format!("{} says {number}", user.name));
        (call.through(&world, user).await.succeeded(), call)
    });
    let answers = futures::future::join_all(crowd).await;
    for (answer, call) in answers.iter().step_by(7) {
        assert_same(answer, &call.direct(&world, &people[0].1).await);
    }
    for (user, key) in &people[1..] {
        let spoken = world
            .fakes
            .gemini
            .calls_with(key)
            .into_iter()
            .filter(|call| call.method == http::Method::POST);
        let words: Vec<String> = spoken
            .map(|call| String::from_utf8_lossy(&call.body).into_owned())
            .collect();
        assert_eq!(words.len(), CALLS_EACH, "{}", user.name);
        assert!(
            words
                .iter()
                .all(|words| words.contains(&format!("{} says", user.name))),
            "{words:?}"
        );
        world.usage(user, CALLS_EACH).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_are_not_merged() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.fakes.elevenlabs.treat(
        &key,
        Behaviour::Stream {
            pieces: 10,
            pause: Duration::from_millis(120),
        },
    );
    let through = calls::elevenlabs_stream("ten")
        .through(&world, &user)
        .await
        .succeeded();
    let sent = world.fakes.elevenlabs.last_call(&key).sent;
    assert_eq!(sent.len(), 10);
    // One may be split; none may wait for the next.
    assert!(
        through.arrivals.len() >= 10,
        "{} pieces arrived",
        through.arrivals.len()
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_streams_in_constant_memory() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 256;
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    calls::elevenlabs_models()
        .through(&world, &user)
        .await
        .succeeded();

    let opening = calls::multipart(&[("model_id", None, b"scribe_v2"), ("file", Some("audio/wav"), b"")]);
    let cut = opening.len() - "\r\n--a-boundary-of-the-tests--\r\n".len();
    let piece = audio::speak(audio::Container::Raw, "upload", PIECE);
    let pieces: Vec<Bytes> = std::iter::once(opening.slice(..cut))
        .chain(std::iter::repeat_n(piece, PIECES))
        .chain(std::iter::once(opening.slice(cut..)))
        .collect();
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    pieces.iter().for_each(|piece| hash.update(piece));
    let expected: String = hash
        .finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();

    let before = world.node().memory();
    let body = reqwest::Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)));
    let request = world
        .http
        .post(world.gateway("/elevenlabs/v1/speech-to-text"))
        .header("xi-api-key", &user.token)
        .header("content-type", calls::multipart_type())
        .body(body);
    world.send(request).await.succeeded();
    let grown = world.node().memory().saturating_sub(before);
    let seen = world.fakes.elevenlabs.last_call(&key);
    assert_eq!(seen.sha256.as_deref(), Some(expected.as_str()));
    assert!(
        grown < 32 << 20,
        "an upload of {PIECES} MiB grew the gateway by {} KiB",
        grown >> 10
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_streams_in_constant_memory() {
    const SIZE: u64 = 128 << 20;
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.fakes.elevenlabs.treat(&key, Behaviour::Large(SIZE));
    let before = world.node().memory();
    let mut response = calls::elevenlabs_stream("long")
        .signed(&world, &user)
        .send()
        .await
        .expect("an answer");
    let mut received = 0;
    while let Some(piece) = response.chunk().await.expect("a whole answer") {
        received += piece.len() as u64;
        if received < 4 << 20 {
            // A reader slower than the provider: what it has not taken may not pile up in between.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(received, SIZE);
    let grown = world.node().memory().saturating_sub(before);
    assert!(
        grown < 32 << 20,
        "an answer of {SIZE} bytes grew the gateway by {} KiB",
        grown >> 10
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_upstream_never_looks_whole() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.fakes.elevenlabs.treat(&key, Behaviour::CutAfter(5_000));
    let answer = calls::elevenlabs_stream("cut").through(&world, &user).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.broken,
        "a cut body ended cleanly after {} bytes",
        answer.body.len()
    );
    assert_eq!(answer.body.len(), 5_000, "what came before the cut is passed on");
    let usage = world.usage(&user, 1).await;
    assert_ne!(usage[0]["outcome"], "ok");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_ends_the_upstream_call() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;

    world.fakes.elevenlabs.treat(&key, Behaviour::StallBeforeHead);
    let waiting = calls::elevenlabs_stream("never")
        .signed(&world, &user)
        .timeout(Duration::from_millis(300));
    waiting.send().await.expect_err("nobody answers");
    world
        .fakes
        .elevenlabs
        .until(&key, "the caller left while waiting", |seen| {
            seen.ending == Ending::Abandoned
        })
        .await;

    world.fakes.elevenlabs.treat(
        &key,
        Behaviour::Stream {
            pieces: 1_000,
            pause: Duration::from_millis(20),
        },
    );
    let mut response = calls::elevenlabs_stream("long")
        .signed(&world, &user)
        .send()
        .await
        .expect("an answer");
    response.chunk().await.expect("a piece");
    drop(response);
    world
        .fakes
        .elevenlabs
        .until(&key, "the caller left mid-stream", |seen| {
            seen.ending == Ending::Abandoned && !seen.sent.is_empty()
        })
        .await;

    let usage = world.usage(&user, 2).await;
    assert!(
        usage.iter().all(|record| record["outcome"] == "interrupted"),
        "{usage:#?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_is_reached_at_the_root_as_well() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "azure").await;
    let recording = audio::recording("root", 4_000);
    let at_root = [
        calls::azure_tts("root"),
        calls::azure_voices(),
        calls::azure_short_audio(&recording),
        calls::azure_transcription(&recording),
    ];
    for call in at_root {
        let direct = call.direct(&world, &key).await.succeeded();
        for prefix in ["", "//"] {
            let url = world.gateway(&format!("{prefix}{}", call.path));
            let request = call
                .to(&world, url)
                .header("ocp-apim-subscription-key", &user.token);
            assert_same(&world.send(request).await, &direct);
        }
    }
    for (prefix, path) in [
        ("/tts", "/cognitiveservices/voices/list"),
        ("/azure/tts", "/cognitiveservices/voices/list"),
    ] {
        let request = world.http.get(world.gateway(&format!("{prefix}{path}")));
        world
            .send(request.header("ocp-apim-subscription-key", &user.token))
            .await
            .succeeded();
        assert_eq!(world.fakes.azure_tts.last_call(&key).path, path);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubled_slashes_are_collapsed() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let request = world.http.get(world.gateway("/elevenlabs//v1///models"));
    world
        .send(request.header("xi-api-key", &user.token))
        .await
        .succeeded();
    assert_eq!(world.fakes.elevenlabs.last_call(&key).path, "/v1/models");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_lead_past_the_gateway_is_not_passed_on() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let fake = &world.fakes.elevenlabs;
    let call = calls::elevenlabs_tts("elsewhere");

    fake.treat(
        &key,
        Behaviour::Redirect("https://elsewhere.example.com/v1/models".to_owned()),
    );
    let away = call.through(&world, &user).await;
    assert_eq!(away.status, 502, "{}", away.text());
    assert!(
        away.code().is_some() && !away.text().contains("elsewhere.example.com"),
        "{}",
        away.text()
    );
    assert_eq!(away.header("location"), None);

    fake.treat(&key, Behaviour::Redirect(format!("{}/v1/models", fake.url)));
    let calls_before = fake.call_count();
    let within = call.through(&world, &user).await;
    assert_eq!(
        fake.call_count(),
        calls_before + 1,
        "a redirect is never followed"
    );
    let location = within.header("location").unwrap_or("");
    assert!(
        !location.contains(&fake.url),
        "the provider's address leads past the gateway: {location}"
    );
    if within.status == 307 {
        assert!(location.ends_with("/elevenlabs/v1/models"), "{location}");
    }

    let extra = vec![
        ("set-cookie", "session=1; Path=/".to_owned()),
        ("keep-alive", "timeout=5".to_owned()),
    ];
    fake.treat(&key, Behaviour::AddHeaders(extra));
    let answer = call.through(&world, &user).await.succeeded();
    assert_eq!(
        (answer.header("set-cookie"), answer.header("keep-alive")),
        (None, None)
    );
    world.end().await;
}
