//! What a caller sees when a WebSocket is refused before it is open: plain HTTP, as the path's SDK understands it.

use serde_json::Value;

use crate::harness::dial::Refused;
use crate::harness::talk;

/// The path of one socket of each provider, below `/{provider}`.
fn paths() -> [(&'static str, String); 3] {
    [
        ("elevenlabs", talk::speech()),
        ("azure", talk::AZURE_SPEECH.to_owned()),
        ("gemini", talk::GEMINI_LIVE.to_owned()),
    ]
}

/// The part of a refusal that the dialect of the path puts its text into.
#[track_caller]
fn told(provider: &str, refused: &Refused) -> Value {
    let body = refused.json();
    let code = refused.head.header("x-voxgate-error");
    match provider {
        "elevenlabs" => {
            assert_eq!(body["detail"]["status"].as_str(), code, "{body}");
            body["detail"].clone()
        }
        "azure" => {
            assert_eq!(body["error"]["code"].as_str(), code, "{body}");
            body["error"].clone()
        }
        _ => {
            assert_eq!(
                body["error"]["code"].as_u64(),
                Some(refused.head.status.into()),
                "{body}"
            );
            body["error"].clone()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_is_a_401_in_the_dialect() {
    let world = talk::world(&[]).await;
    let stranger = format!("vxg_{}", "0".repeat(36));
    for (provider, path) in paths() {
        let header = world.fakes.of(provider)[0].kind.key_header();
        let dial = world
            .dial(&format!("/{provider}{path}"))
            .header(header, &stranger);
        let refused = dial.refused().await;
        refused.says(401, "unauthenticated");
        let message = told(provider, &refused)["message"].to_string();
        assert!(message.to_lowercase().contains("token"), "{provider}: {message}");
    }
    // Nobody can show one later but on ElevenLabs' sockets for speech.
    for (provider, path) in [
        ("azure", talk::AZURE_SPEECH),
        ("gemini", talk::GEMINI_LIVE),
        ("elevenlabs", talk::REALTIME),
    ] {
        let refused = world.dial(&format!("/{provider}{path}")).refused().await;
        refused.says(401, "unauthenticated");
    }
    for fake in world.fakes.all() {
        assert_eq!(fake.call_count(), 0, "{:?} was called", fake.kind);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_credential_is_a_424_that_says_where_to_store_one() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    for (provider, path) in paths() {
        let refused = world.dial_as(&user, provider, &path).refused().await;
        refused.says(424, "credential_missing");
        assert!(
            refused.head.header("x-voxgate-setup-url").is_some(),
            "{refused:?}"
        );
        let told = told(provider, &refused).to_string();
        assert!(told.contains("https://voxgate.example.com"), "{provider}: {told}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_and_lists_hold_for_sockets_too() {
    let world = talk::world(&[]).await;
    let listener = world.user_with("ann", &["--scope", "stt"]).await;
    world.stored_key(&world.user("ann").await, "elevenlabs").await;
    let refused = world
        .dial_as(&listener, "elevenlabs", &talk::speech())
        .refused()
        .await;
    refused.says(403, "forbidden");
    let listening = world
        .dial_as(&listener, "elevenlabs", talk::REALTIME)
        .open()
        .await;
    listening.close(1000, "").await;
    let path = "/v1/convai/conversation?agent_id=a";
    let refused = world.dial_as(&listener, "elevenlabs", path).refused().await;
    refused.says(403, "forbidden_endpoint");
    world.end().await;
}

/// Its answer would name Azure's own host, and the SDK would send our token there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_past_the_gateway_is_refused() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "azure").await;
    let before = world.fakes.azure_tts.calls_with(&key).len();
    for path in [
        "/azure/tts/cognitiveservices/websocket/v1?GenerateRedirectResponse=true",
        "/tts/cognitiveservices/websocket/v1?generateredirectresponse=TRUE",
        "/azure/stt/speech/universal/v2?language=en-US&GenerateRedirectResponse=true",
    ] {
        let token = ("ocp-apim-subscription-key", user.token.as_str());
        let request = world.http.get(world.gateway(path)).header(token.0, token.1);
        let answer = world.send(request).await;
        assert!(
            answer.status.is_client_error(),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        let refused = world.dial(path).header(token.0, token.1).refused().await;
        assert!((400..500).contains(&refused.head.status), "{path}: {refused:?}");
    }
    assert_eq!(world.fakes.azure_tts.calls_with(&key).len(), before);
    world.end().await;
}
