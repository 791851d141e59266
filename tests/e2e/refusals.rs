//! What Voxgate itself refuses: in the dialect of the path, with a code, before anything goes upstream.

use http::Method;
use serde_json::Value;

use crate::harness::calls;
use crate::harness::config::set;
use crate::harness::{Answer, Database, User, World};

/// The error object of an answer, checked for the shape that the provider's SDKs read.
#[track_caller]
fn in_dialect(answer: &Answer, provider: &str) -> Value {
    let body = answer.json();
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json"))
    );
    let error = match provider {
        "elevenlabs" => {
            assert_eq!(body["detail"]["status"].as_str(), answer.code(), "{body}");
            &body["detail"]
        }
        "gemini" => {
            let error = &body["error"];
            assert_eq!(error["code"], answer.status.as_u16(), "{body}");
            assert!(
                error["status"]
                    .as_str()
                    .is_some_and(|status| status == status.to_uppercase()),
                "{body}"
            );
            assert!(error["details"].is_array(), "{body}");
            error
        }
        _ => {
            assert_eq!(body["error"]["code"].as_str(), answer.code(), "{body}");
            &body["error"]
        }
    };
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{body}"
    );
    error.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_a_valid_token_is_refused_in_the_dialect_of_its_path() {
    let world = World::start(Database::Sqlite).await;
    for call in calls::speech_of_each() {
        let before = call.fake(&world).call_count();
        let none = world
            .send(call.unsigned(&world))
            .await
            .refused(401, "unauthenticated");
        in_dialect(&none, call.provider);
        let wrong_checksum = format!("vxg_{}", "a".repeat(36));
        for wrong in [
            "nonsense",
            &wrong_checksum,
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.",
        ] {
            let answer = call.through(&world, &User::of_token("nobody", wrong)).await;
            in_dialect(&answer.refused(401, "unauthenticated"), call.provider);
        }
        assert_eq!(call.fake(&world).call_count(), before, "nothing goes upstream");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_a_credential_is_told_where_to_store_one() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    for call in calls::speech_of_each() {
        let answer = call
            .through(&world, &user)
            .await
            .refused(424, "credential_missing");
        let setup_url = format!("https://voxgate.example.com/providers/{}", call.provider);
        assert_eq!(answer.header("x-voxgate-setup-url"), Some(setup_url.as_str()));
        assert!(answer.text().contains(&setup_url), "{}", answer.text());
        in_dialect(&answer, call.provider);
        let page = world
            .send(
                world
                    .http
                    .get(world.admin(&format!("/providers/{}", call.provider))),
            )
            .await;
        assert_eq!(page.status, 200, "the page it leads to is there");
        assert_eq!(call.fake(&world).call_count(), 0);
    }
    world.end().await;
}

const FORBIDDEN: &[(Method, &str)] = &[
    (Method::POST, "/elevenlabs/v1/single-use-token/tts_websocket"),
    (Method::GET, "/elevenlabs/v1/user"),
    (Method::POST, "/elevenlabs/v1/service-accounts/a/api-keys"),
    (
        Method::POST,
        "/elevenlabs/v1/workspaces/api-keys/disable?api_key_name=self",
    ),
    (Method::GET, "/elevenlabs/v1/history"),
    (Method::DELETE, "/elevenlabs/v1/voices/21m00Tcm4TlvDq8ikWAM"),
    (Method::DELETE, "/elevenlabs/v1/models"),
    (Method::GET, "/elevenlabs/v1/convai/conversation/get-signed-url"),
    (Method::POST, "/azure/sts/v1.0/issueToken"),
    (Method::GET, "/azure/speechtotext/webhooks?api-version=2025-10-15"),
    (
        Method::POST,
        "/azure/speechtotext/transcriptions:submit?api-version=2025-10-15",
    ),
    (Method::GET, "/speechtotext/endpoints?api-version=2025-10-15"),
    (
        Method::GET,
        "/azure/cognitiveservices/voices/list?GenerateRedirectResponse=true",
    ),
    (
        Method::GET,
        "/azure/cognitiveservices/voices/list?generateredirectresponse=true",
    ),
    (Method::POST, "/gemini/v1alpha/auth_tokens"),
    (Method::POST, "/gemini/upload/v1beta/files"),
    (Method::GET, "/gemini/v1beta/files"),
    (Method::GET, "/gemini/v1beta/cachedContents"),
    (
        Method::POST,
        "/gemini/v1beta/models/gemini-3.8-flash:generateContent",
    ),
    (
        Method::POST,
        "/gemini/v1beta/tunedModels/gemini-3.8-flash-tts:generateContent",
    ),
    (Method::POST, "/gemini/v1beta/openai/chat/completions"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_endpoints_are_reachable() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    for provider in ["elevenlabs", "azure", "gemini"] {
        world.stored_key(&user, provider).await;
    }
    let reached = || {
        world
            .fakes
            .all()
            .iter()
            .map(|fake| fake.call_count())
            .sum::<usize>()
    };
    let before = reached();
    for (method, path) in FORBIDDEN {
        let mut request = world
            .http
            .request(method.clone(), world.gateway(path))
            .bearer_auth(&user.token);
        if *method == Method::POST {
            request = request.header("content-type", "application/json").body("{}");
        }
        let answer = world.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (403, Some("forbidden_endpoint")),
            "{method} {path}"
        );
        in_dialect(
            &answer,
            path.split('/')
                .nth(1)
                .filter(|first| *first != "speechtotext")
                .unwrap_or("azure"),
        );
    }
    assert_eq!(reached(), before, "nothing goes upstream");
    world.end().await;
}

/// Spellings that another parser on the way might read as another path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_can_be_read_in_two_ways_are_refused() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let before = world.fakes.elevenlabs.call_count();
    let crooked = [
        "/elevenlabs/v1/models/../user",
        "/elevenlabs/v1/models/%2e%2e/user",
        "/elevenlabs/v1%2Fuser",
        "/elevenlabs/v1/voices/..%5cuser",
        "/elevenlabs/v1/voices/%00",
        "/elevenlabs/v1/voices/%zz",
        "/elevenlabs/v1/./models",
    ];
    for path in crooked {
        let (status, head) = raw_request(&world, &format!("GET {path} HTTP/1.1"), &user).await;
        assert!((400..500).contains(&status), "{path} answered {head}");
        assert!(head.contains("x-voxgate-error: "), "{path} answered {head}");
    }
    assert_eq!(
        world.fakes.elevenlabs.call_count(),
        before,
        "nothing goes upstream"
    );
    world.end().await;
}

/// Sends a request line that HTTP clients would tidy up first.
async fn raw_request(world: &World, line: &str, user: &User) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(&world.node().gateway)
        .await
        .expect("connect");
    let head = format!(
        "{line}\r\nHost: gateway\r\nxi-api-key: {}\r\nConnection: close\r\n\r\n",
        user.token
    );
    socket.write_all(head.as_bytes()).await.expect("send");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("receive");
    world.planted.search("a raw answer", &answer);
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    (status, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_are_not_found() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let get = |path: &str| world.http.get(world.gateway(path)).bearer_auth(&user.token);
    world
        .send(get("/nobody/v1/models"))
        .await
        .refused(404, "unknown_provider");
    world.send(get("/")).await;
    let unified = world
        .send(get("/v1/chat/completions"))
        .await
        .refused(404, "not_found");
    let error = &unified.json()["error"];
    assert_eq!(error["code"], "not_found");
    assert!(
        error["message"].is_string() && error["type"].is_string(),
        "{error}"
    );
    world
        .ask_admin(&user, Method::GET, "/api/v1/nothing", None)
        .await
        .problem(404, "not_found");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_above_the_limit_are_refused() {
    let world = World::configured(Database::Sqlite, |config, _| {
        set(config, "gateway.max_body_bytes", 10_000)
    })
    .await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let fake = &world.fakes.elevenlabs;
    let before = fake.calls_with(&key).len();
    let declared = calls::elevenlabs_stt(&[7; 20_000]);
    let answer = declared
        .through(&world, &user)
        .await
        .refused(413, "payload_too_large");
    in_dialect(&answer, "elevenlabs");
    assert_eq!(
        fake.calls_with(&key).len(),
        before,
        "nothing goes upstream when the length says it already"
    );

    let pieces = (0..5).map(|_| Ok::<_, std::io::Error>(vec![7_u8; 4_000]));
    let undeclared = world
        .http
        .post(world.gateway("/elevenlabs/v1/speech-to-text"))
        .header("xi-api-key", &user.token)
        .header("content-type", calls::multipart_type())
        .body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)));
    world.send(undeclared).await.refused(413, "payload_too_large");
    assert!(
        fake.calls_with(&key)[before..]
            .iter()
            .all(|seen| seen.sha256.is_none()),
        "the upload never looked whole"
    );
    calls::elevenlabs_stt(&[7; 2_000])
        .through(&world, &user)
        .await
        .succeeded();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_answered_as_configured() {
    const OURS: &str = "https://app.example.com";
    let world = World::configured(Database::Sqlite, |config, _| {
        set(config, "gateway.cors_origins", vec![OURS])
    })
    .await;
    let user = world.user("ann").await;
    world.stored_key(&user, "elevenlabs").await;
    let preflight = |origin: &str| {
        world
            .http
            .request(Method::OPTIONS, world.gateway("/elevenlabs/v1/models"))
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "xi-api-key")
    };
    let allowed = world.send(preflight(OURS)).await.succeeded();
    assert_eq!(allowed.header("access-control-allow-origin"), Some(OURS));
    let stranger = world.send(preflight("https://elsewhere.example.com")).await;
    assert_eq!(stranger.header("access-control-allow-origin"), None);

    let request = calls::elevenlabs_models()
        .signed(&world, &user)
        .header("origin", OURS);
    let answer = world.send(request).await.succeeded();
    assert_eq!(answer.header("access-control-allow-origin"), Some(OURS));
    let exposed = answer.header("access-control-expose-headers").unwrap_or("");
    assert!(
        exposed == "*" || exposed.contains("x-voxgate-error"),
        "{exposed:?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_told_on_both_listeners() {
    let world = World::start(Database::Sqlite).await;
    for path in ["/healthz", "/readyz"] {
        world.send(world.http.get(world.gateway(path))).await.succeeded();
        world.send(world.http.get(world.admin(path))).await.succeeded();
    }
    world.end().await;
}
