//! Callers whom the host application has signed in: its JWTs are verified as its configuration says.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use toml::{Table, Value as Toml};

use crate::fakes::issuer::{self, Issuer};
use crate::harness::calls;
use crate::harness::config::{path_value, secret, set};
use crate::harness::{Database, User, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_with_a_shared_secret_is_a_caller() {
    let shared = secret("shared-secret-of-the-host");
    let world = World::configured(Database::Sqlite, |config, folder| {
        let file = folder.join("issuer.secret");
        std::fs::write(&file, &shared).expect("write the secret");
        set(
            config,
            "auth.jwt",
            vec![issuer_table("HS256", "secret_file", &path_value(&file))],
        );
    })
    .await;
    world.planted.plant("the issuer's secret", &shared);
    let sign = |claims: &Value| issuer::sign_with_secret(shared.as_bytes(), claims);

    let ann = signed_in(&world, "ann", sign(&issuer::claims("ann")));
    world.stored_key(&ann, "elevenlabs").await;
    calls::elevenlabs_models().through(&world, &ann).await.succeeded();
    assert_eq!(world.read(&ann, "/api/v1/me").await["user"], "ann");

    let without = |claim: &str| {
        let mut claims = issuer::claims("ann");
        claims.as_object_mut().unwrap().remove(claim);
        sign(&claims)
    };
    let with = |claim: &str, value: Value| {
        let mut claims = issuer::claims("ann");
        claims[claim] = value;
        sign(&claims)
    };
    let refused = [
        ("no exp", without("exp")),
        ("expired", with("exp", json!(issuer::now() - 3_600))),
        ("not yet valid", with("nbf", json!(issuer::now() + 3_600))),
        ("another audience", with("aud", json!("elsewhere"))),
        (
            "another issuer",
            with("iss", json!("https://elsewhere.example.com")),
        ),
        ("no user", without("sub")),
        (
            "another secret",
            issuer::sign_with_secret(b"a-secret-of-somebody-else's", &issuer::claims("ann")),
        ),
    ];
    for (what, token) in refused {
        let answer = calls::elevenlabs_models()
            .through(&world, &User::of_token("ann", &token))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (401, Some("unauthenticated")),
            "{what}: {}",
            answer.text()
        );
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_with_published_keys_is_a_caller_and_survives_their_rotation() {
    let published = Issuer::start().await;
    let world = World::configured(Database::Sqlite, |config, _| {
        set(
            config,
            "auth.jwt",
            vec![issuer_table("RS256", "jwks_url", &published.jwks_url)],
        );
    })
    .await;
    let ann = signed_in(&world, "ann", published.sign(&issuer::claims("ann")));
    world.stored_key(&ann, "elevenlabs").await;
    calls::elevenlabs_models().through(&world, &ann).await.succeeded();

    published.rotate("second");
    let again = known_soon(&world, &published).await;

    // The public key is known to everyone, so nothing signed with it as a secret may count.
    let mut forged = issuer::claims("ann");
    forged["roles"] = json!(["operator"]);
    let forged = issuer::sign_with_secret(published.jwks_url.as_bytes(), &forged);
    calls::elevenlabs_models()
        .through(&world, &User::of_token("ann", &forged))
        .await
        .refused(401, "unauthenticated");

    let mut claims = issuer::claims("root");
    claims["roles"] = json!(["operator"]);
    let operator = signed_in(&world, "root", published.sign(&claims));
    world.read(&operator, "/api/v1/usage?owner=ann").await;
    let nobody_special = world
        .ask_admin(&again, Method::GET, "/api/v1/usage?owner=root", None)
        .await;
    nobody_special.problem(403, "forbidden");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_shares_the_key_that_its_admins_keep() {
    let published = Issuer::start().await;
    let world = World::configured(Database::Sqlite, |config, _| {
        let mut issuer = issuer_table("RS256", "jwks_url", &published.jwks_url);
        let table = issuer.as_table_mut().expect("a table");
        set(table, "teams_claim", "teams");
        set(table, "team_admin_claim", "admin_of");
        set(config, "auth.jwt", vec![issuer]);
    })
    .await;
    let person = |name: &str, teams: Value, admin_of: Value| {
        let mut claims = issuer::claims(name);
        claims["teams"] = teams;
        claims["admin_of"] = admin_of;
        signed_in(&world, name, published.sign(&claims))
    };
    let admin = person("ann", json!(["radio"]), json!(["radio"]));
    let member = person("bob", json!(["radio"]), json!([]));
    let stranger = person("eve", json!(["press"]), json!(["press"]));

    let path = "/api/v1/credentials/elevenlabs?owner=team:radio";
    let key = world.key("elevenlabs");
    let body = || Some(json!({"api_key": key, "settings": {}}));
    world
        .ask_admin(&member, Method::PUT, path, body())
        .await
        .problem(403, "forbidden");
    world
        .ask_admin(&stranger, Method::PUT, path, body())
        .await
        .problem(403, "forbidden");
    assert_eq!(
        world.ask_admin(&admin, Method::PUT, path, body()).await.status,
        201
    );
    world.read(&member, path).await;
    world
        .ask_admin(&stranger, Method::GET, path, None)
        .await
        .problem(403, "forbidden");

    let call = calls::elevenlabs_tts("on air");
    let answer = call.through(&world, &member).await.succeeded();
    assert_eq!(answer.header("x-voxgate-credential"), Some("team"));
    assert_eq!(world.usage(&member, 1).await[0]["token_id"], Value::Null);
    call.through(&world, &stranger)
        .await
        .refused(424, "credential_missing");

    world.stored_key(&member, "elevenlabs").await;
    let answer = call.through(&world, &member).await.succeeded();
    assert_eq!(
        answer.header("x-voxgate-credential"),
        Some("user"),
        "one's own comes first"
    );
    assert_eq!(
        world.ask_admin(&admin, Method::DELETE, path, None).await.status,
        204
    );
    call.through(&world, &admin)
        .await
        .refused(424, "credential_missing");
    world.end().await;
}

/// Signs in with a key that the gateway has not seen; it asks for new keys, but not at every stranger's bidding.
async fn known_soon(world: &World, published: &Issuer) -> User {
    let deadline = Instant::now() + Duration::from_secs(10);
    for attempt in 0.. {
        let mut claims = issuer::claims("ann");
        claims["jti"] = json!(attempt);
        let user = signed_in(world, "ann", published.sign(&claims));
        if calls::elevenlabs_models().through(world, &user).await.status == 200 {
            return user;
        }
        assert!(
            Instant::now() < deadline,
            "the new key is not known after ten seconds"
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    unreachable!("the deadline ends the loop")
}

fn signed_in(world: &World, name: &str, token: String) -> User {
    world.planted.plant(&format!("{name}'s sign-in"), &token);
    User::of_token(name, &token)
}

fn issuer_table(algorithm: &str, key: &str, value: &str) -> Toml {
    let mut table = Table::new();
    set(&mut table, "issuer", issuer::ISSUER);
    set(&mut table, "audience", issuer::AUDIENCE);
    set(&mut table, "algorithms", vec![algorithm]);
    set(&mut table, "roles_claim", "roles");
    set(&mut table, key, value);
    Toml::Table(table)
}
