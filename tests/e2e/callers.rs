//! Who is calling: every place for a token, tokens of ours, and sign-ins of the host application.

use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::fakes::Behaviour;
use crate::harness::calls::{self, Native};
use crate::harness::{Answer, Database, User, World, on_both_databases};

on_both_databases!(tokens_come_and_go, a_token_may_do_what_its_scopes_say);

/// Where a token may stand, and what stands before it there.
#[derive(Clone, Copy, Debug)]
enum Place {
    Header(&'static str, &'static str),
    Query(&'static str, &'static str),
}

/// Every place in which some SDK puts a provider's key.
const PLACES: &[Place] = &[
    Place::Header("authorization", "Bearer "),
    Place::Header("authorization", "bearer "),
    Place::Header("authorization", "Token "),
    Place::Header("xi-api-key", ""),
    Place::Header("ocp-apim-subscription-key", ""),
    Place::Header("x-goog-api-key", ""),
    Place::Header("api-key", ""),
    Place::Header("x-api-key", ""),
    Place::Query("key", ""),
    Place::Query("token", ""),
    Place::Query("access_token", ""),
    Place::Query("authorization", ""),
    Place::Query("Authorization", "Bearer "),
    Place::Query("single_use_token", ""),
    Place::Query("Ocp-Apim-Subscription-Key", ""),
];

impl Place {
    fn put(self, call: &Native, world: &World, token: &str) -> RequestBuilder {
        match self {
            Place::Header(name, before) => call.unsigned(world).header(name, format!("{before}{token}")),
            Place::Query(name, before) => with_query(call, world, &[(name, &format!("{before}{token}"))]),
        }
    }
}

/// The call with more parameters after its own.
fn with_query(call: &Native, world: &World, parameters: &[(&str, &str)]) -> RequestBuilder {
    let url = world.gateway(&format!("/{}{}", call.provider, call.path));
    let mut url = url::Url::parse(&url).expect("a URL");
    url.query_pairs_mut().extend_pairs(parameters);
    call.to(world, url.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_in_every_place_and_arrives_in_none() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    for list in [
        calls::elevenlabs_models(),
        calls::azure_locales(),
        calls::gemini_models(),
    ] {
        let key = world.stored_key(&user, list.provider).await;
        for place in PLACES {
            let answer = world.send(place.put(&list, &world, &user.token)).await;
            assert_eq!(
                answer.status,
                200,
                "{} with {place:?}: {}",
                list.provider,
                answer.text()
            );
            let seen = list.fake(&world).last_call(&key);
            assert_eq!(
                seen.raw_query.as_deref(),
                list.path.split_once('?').map(|(_, query)| query),
                "{place:?}"
            );
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_valid_token_counts_and_an_empty_one_is_as_if_absent() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let models = calls::elevenlabs_models();
    let parameters = [
        ("Key", "another"),
        ("aCCess_token", "and another"),
        ("search", "kept"),
    ];
    let crowded = with_query(&models, &world, &parameters)
        .header("authorization", "Bearer ")
        .header("xi-api-key", "sk_a-key-of-some-provider")
        .header("x-goog-api-key", &user.token)
        .header("cookie", "session=mine")
        .header("proxy-authorization", "Basic bWU6eW91")
        .header("connection", "x-api-key, close")
        .header("x-api-key", "nominated")
        .header("x-forwarded-for", "203.0.113.9")
        .header("via", "1.1 elsewhere")
        .header("te", "trailers")
        .header("x-voxgate-provider", "elsewhere");
    world.send(crowded).await.succeeded();
    let seen = world.fakes.elevenlabs.last_call(&key);
    assert_eq!(seen.raw_query.as_deref(), Some("search=kept"));
    assert_eq!(
        seen.header("host"),
        world.fakes.elevenlabs.url.strip_prefix("http://")
    );

    for nothing in ["Bearer ", "Bearer", "Token ", ""] {
        let request = models.unsigned(&world).header("authorization", nothing);
        world.send(request).await.refused(401, "unauthenticated");
    }
    world.end().await;
}

async fn tokens_come_and_go(database: Database) {
    let world = World::start(database).await;
    let (ann, key) = with_key(&world, "ann").await;
    let models = calls::elevenlabs_models();

    // Made and revoked through the API, by a caller who has a token already.
    let made = world
        .http
        .post(world.admin("/api/v1/tokens"))
        .bearer_auth(&ann.token);
    let made = made.json(&json!({"name": "laptop", "ttl_seconds": 3600}));
    // The one answer that is there to show a token.
    let response = made.send().await.expect("an answer");
    assert_eq!(response.status(), 201);
    let made: Value = response.json().await.expect("JSON");
    let laptop = User::of_token("ann", made["token"].as_str().expect("the token, once"));
    world.planted.plant("the laptop's token", &laptop.token);
    models.through(&world, &laptop).await.succeeded();

    let listed = world.read(&ann, "/api/v1/tokens").await;
    let named = |name: &str| {
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|token| token["name"] == name)
    };
    assert!(named("laptop"), "{listed}");

    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"));
    assert_eq!(
        world.ask_admin(&ann, Method::DELETE, &path, None).await.status,
        204
    );
    models
        .through(&world, &laptop)
        .await
        .refused(401, "unauthenticated");
    world
        .ask_admin(&ann, Method::DELETE, &path, None)
        .await
        .problem(404, "not_found");

    // The same from the command line; the server is another process.
    let list = world
        .command(&["token", "list", "--user", "ann", "--format", "json"])
        .await
        .succeeded();
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    let id = list["items"][0]["id"]
        .as_str()
        .expect("a token of ann's")
        .to_owned();
    world.command(&["token", "revoke", &id]).await.succeeded();
    refused_soon(&world, &ann).await;
    world.command(&["token", "revoke", &id]).await.failed(1);

    // A token with a short life.
    let brief = world.user_with("ann", &["--ttl", "5s"]).await;
    models.through(&world, &brief).await.succeeded();
    tokio::time::sleep(std::time::Duration::from_millis(5_100)).await;
    models
        .through(&world, &brief)
        .await
        .refused(401, "unauthenticated");
    assert!(!world.fakes.elevenlabs.calls_with(&key).is_empty());
    world.end().await;
}

/// A change made by another process is seen soon.
async fn refused_soon(world: &World, user: &User) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while calls::elevenlabs_models().through(world, user).await.status != 401 {
        assert!(
            std::time::Instant::now() < deadline,
            "a token revoked elsewhere still works after two seconds"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn a_token_may_do_what_its_scopes_say(database: Database) {
    let world = World::start(database).await;
    let (ann, _) = with_key(&world, "ann").await;
    let listening = scoped(&world, &ann, &["stt"]).await;
    calls::elevenlabs_stt(&crate::fakes::audio::recording("s", 2_000))
        .through(&world, &listening)
        .await
        .succeeded();
    calls::elevenlabs_models()
        .through(&world, &listening)
        .await
        .succeeded();
    calls::elevenlabs_tts("no")
        .through(&world, &listening)
        .await
        .refused(403, "forbidden");
    world
        .ask_admin(&listening, Method::GET, "/api/v1/credentials", None)
        .await
        .problem(403, "forbidden");
    world
        .ask_admin(&listening, Method::GET, "/api/v1/usage", None)
        .await
        .problem(403, "forbidden");

    let reading = scoped(&world, &ann, &["credentials:read", "tokens"]).await;
    world.read(&reading, "/api/v1/credentials").await;
    world
        .put_key(&reading, "elevenlabs", "a key of whatever kind")
        .await
        .problem(403, "forbidden");
    calls::elevenlabs_tts("no")
        .through(&world, &reading)
        .await
        .refused(403, "forbidden");
    // Nobody gives away more than they have.
    let more = json!({"name": "more", "scopes": ["tts"]});
    world
        .ask_admin(&reading, Method::POST, "/api/v1/tokens", Some(more))
        .await
        .problem(403, "forbidden");
    world.end().await;
}

async fn scoped(world: &World, owner: &User, scopes: &[&str]) -> User {
    let request = world
        .http
        .post(world.admin("/api/v1/tokens"))
        .bearer_auth(&owner.token);
    let response = request
        .json(&json!({"name": "scoped", "scopes": scopes}))
        .send()
        .await
        .expect("an answer");
    let made: Value = response.json().await.expect("JSON");
    let token = made["token"]
        .as_str()
        .unwrap_or_else(|| panic!("a token: {made}"));
    world.planted.plant("a scoped token", token);
    User::of_token(&owner.name, token)
}

async fn with_key(world: &World, name: &str) -> (User, String) {
    let user = world.user(name).await;
    let key = world.stored_key(&user, "elevenlabs").await;
    (user, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_users_see_and_pay_for_nothing_of_each_other() {
    let world = World::start(Database::Sqlite).await;
    let (ann, anns) = with_key(&world, "ann").await;
    let (bob, bobs) = with_key(&world, "bob").await;
    let count = |key: &str| world.fakes.elevenlabs.calls_with(key).len();
    let (before_ann, before_bob) = (count(&anns), count(&bobs));
    calls::elevenlabs_tts("ann's words")
        .through(&world, &ann)
        .await
        .succeeded();
    assert_eq!((count(&anns), count(&bobs)), (before_ann + 1, before_bob));

    assert_eq!(world.usage(&ann, 1).await.len(), 1);
    assert_eq!(world.usage(&bob, 0).await.len(), 0);
    let audit = world.read(&bob, "/api/v1/audit").await.to_string();
    assert!(!audit.contains("\"ann\""), "bob reads about ann: {audit}");
    let masked = |answer: Answer| answer.json()["masked_key"].as_str().map(str::to_owned);
    let (a, b) = (
        own_credential(&world, &ann).await,
        own_credential(&world, &bob).await,
    );
    assert_ne!(masked(a), masked(b));

    world.fakes.elevenlabs.treat(&anns, Behaviour::Normal);
    world
        .ask_admin(&ann, Method::DELETE, "/api/v1/credentials/elevenlabs", None)
        .await
        .succeeded();
    calls::elevenlabs_models()
        .through(&world, &ann)
        .await
        .refused(424, "credential_missing");
    calls::elevenlabs_models().through(&world, &bob).await.succeeded();
    world.end().await;
}

async fn own_credential(world: &World, user: &User) -> Answer {
    world
        .ask_admin(user, Method::GET, "/api/v1/credentials/elevenlabs", None)
        .await
        .succeeded()
}
