//! TLS on both sides: towards callers with a certificate of the operator's, towards providers verified.

use http::Version;
use reqwest::Client;

use crate::fakes::Fakes;
use crate::fakes::tls::Authority;
use crate::harness::calls::{self, assert_same};
use crate::harness::config::set;
use crate::harness::dial::Dial;
use crate::harness::secure::{install, listen_with};
use crate::harness::{Answer, Database, User, World, talk};

/// A client that trusts this authority alone.
fn client_of(authority: &Authority) -> reqwest::ClientBuilder {
    let root = reqwest::Certificate::from_pem(authority.certificate_pem().as_bytes()).expect("a certificate");
    Client::builder().tls_certs_only([root])
}

async fn models(world: &World, client: &Client, user: &User) -> reqwest::Result<Answer> {
    let request = client
        .get(world.secure_url("/elevenlabs/v1/models"))
        .header("xi-api-key", &user.token);
    Ok(Answer::read(request.send().await?, &world.planted).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_work_on_both_sides() {
    let authority = Authority::new();
    let gateway = authority.identity();
    let world = World::over_tls(Database::Sqlite, &authority, |config, folder| {
        listen_with(&gateway, config, folder)
    })
    .await;
    let user = world.user("ann").await;
    let clients = [
        (client_of(&authority).build().expect("a client"), Version::HTTP_2),
        (
            client_of(&authority).http1_only().build().expect("a client"),
            Version::HTTP_11,
        ),
    ];
    for provider in ["elevenlabs", "azure", "gemini"] {
        let key = world.stored_key(&user, provider).await;
        for call in calls::all().into_iter().filter(|call| call.provider == provider) {
            let fake = call.fake(&world);
            let as_client = |client: &Client, url: String| {
                let mut request = client.request(call.method.clone(), url);
                for (name, value) in &call.headers {
                    request = request.header(*name, value);
                }
                if call.body.is_empty() {
                    request
                } else {
                    request.body(call.body.clone())
                }
            };
            let direct = as_client(&clients[0].0, format!("{}{}", fake.url, call.path))
                .header(fake.kind.key_header(), &key);
            let direct = Answer::read(
                direct.send().await.expect("the provider's answer"),
                &Default::default(),
            )
            .await;
            for (client, version) in &clients {
                let url = world.secure_url(&format!("/{provider}{}", call.path));
                let request = as_client(client, url).header(fake.kind.key_header(), &user.token);
                let through = Answer::read(request.send().await.expect("an answer"), &world.planted).await;
                assert_eq!(through.version, *version);
                assert_same(&through, &direct);
                assert_eq!(
                    fake.last_call(&key).version,
                    Version::HTTP_2,
                    "providers that offer HTTP/2 are spoken to in it"
                );
            }
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_with_a_certificate_of_nobodys_gets_no_key() {
    let authority = Authority::new();
    let world = World::over_tls(Database::Sqlite, &authority, |config, _| {
        // The authority of the fakes is not trusted in this run.
        config["gateway"]
            .as_table_mut()
            .expect("a section")
            .remove("ca_file");
        set(
            config,
            "providers.elevenlabs.api_key",
            "sk-of-the-system-unverified",
        );
    })
    .await;
    world
        .planted
        .plant("the system's key", "sk-of-the-system-unverified");
    let user = world.user("ann").await;
    calls::elevenlabs_models()
        .through(&world, &user)
        .await
        .refused(502, "provider_unreachable");
    let answer = world.put_key(&user, "elevenlabs", &world.key("elevenlabs")).await;
    answer.problem(502, "provider_unreachable");
    assert_eq!(world.fakes.elevenlabs.call_count(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_over_by_a_signal() {
    let (old, new) = (Authority::new(), Authority::new());
    let first = old.identity();
    let world = World::configured(Database::Sqlite, |config, folder| {
        listen_with(&first, config, folder)
    })
    .await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let client = || client_of(&new).build().expect("a client");
    let trusting_old = client_of(&old).build().expect("a client");
    models(&world, &trusting_old, &user)
        .await
        .expect("the old certificate")
        .succeeded();
    models(&world, &client(), &user)
        .await
        .expect_err("the new authority vouches for nothing yet");

    install(&new.identity(), world.folder());
    world.node().signal("HUP").await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        match models(&world, &client(), &user).await {
            Ok(answer) => {
                answer.succeeded();
                break;
            }
            Err(error) => assert!(
                std::time::Instant::now() < deadline,
                "still the old certificate: {error:?}"
            ),
        };
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    models(&world, &trusting_old, &user)
        .await
        .expect("a connection that was open goes on")
        .succeeded();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_socket_outlives_a_new_certificate() {
    let (old, new) = (Authority::new(), Authority::new());
    let first = old.identity();
    let world = World::with_fakes(Database::Sqlite, Fakes::strict().await, |config, folder| {
        listen_with(&first, config, folder)
    })
    .await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let dial = |trusted: &Authority| {
        let url = world.secure_url(&format!("/elevenlabs{}", talk::REALTIME));
        let dial = Dial::to(&url).searched(&world.planted).trusting(trusted);
        dial.header("xi-api-key", &user.token)
    };
    let mut open = dial(&old).open().await;
    assert_eq!(open.json().await["message_type"], "session_started");
    install(&new.identity(), world.folder());
    world.node().signal("HUP").await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while models(&world, &client_of(&new).build().expect("a client"), &user)
        .await
        .is_err()
    {
        assert!(std::time::Instant::now() < deadline, "still the old certificate");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    dial(&new).open().await.close(1000, "").await.is(1000, "");
    open.send_json(&talk::chunk(&[0; 32_000], true)).await;
    let committed = open.json_where(|message| message["message_type"] == "committed_transcript");
    assert_eq!(committed.await["text"], "");
    open.close(1000, "").await.is(1000, "");
    world.end().await;
}
