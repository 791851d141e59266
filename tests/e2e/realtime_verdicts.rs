//! What a provider says of a key on a WebSocket, by status, by message or by close: it reaches the caller as it is, and
//! a key that is refused is marked as one that is refused over HTTP.

use http::Method;
use serde_json::{Value, json};

use crate::fakes::sockets::{Act, gemini_live};
use crate::fakes::{Behaviour, Canned, azure, elevenlabs};
use crate::harness::socket::{Close, Received};
use crate::harness::{User, World, talk};

/// What the provider does, and what is to become of the key.
struct Case {
    name: &'static str,
    provider: &'static str,
    path: String,
    behaviour: Behaviour,
    status: &'static str,
}

fn case(name: &'static str, path: &str, behaviour: Behaviour, status: &'static str) -> Case {
    let provider = match path {
        path if path.starts_with("/v1/") => "elevenlabs",
        path if path.starts_with("/ws/") => "gemini",
        _ => "azure",
    };
    Case {
        name,
        provider,
        path: path.to_owned(),
        behaviour,
        status,
    }
}

fn closes(after: usize, code: u16, reason: &str) -> Behaviour {
    Behaviour::Socket(Act::close(code, reason).after(after))
}

fn says(kind: &str, code: u16) -> Behaviour {
    let message = json!({"message_type": kind, "error": "in the provider's words"});
    Behaviour::Socket(Act::say_and_close(&message, code, kind).after(0))
}

fn azure_path() -> String {
    format!("{}?X-ConnectionId={}", talk::AZURE_RECOGNITION, "a".repeat(32))
}

fn by_status() -> Vec<Case> {
    let (speech, azure) = (talk::speech(), azure_path());
    let refuse = Behaviour::Refuse;
    let too_many = Canned::text(429, "text/plain", "");
    let azure_401 = azure::refuse_key(crate::fakes::Kind::AzureStt);
    vec![
        case(
            "ElevenLabs: 401",
            &speech,
            refuse(elevenlabs::refuse_key()),
            "invalid",
        ),
        case(
            "ElevenLabs: 401, no credits",
            &speech,
            refuse(elevenlabs::quota_exceeded()),
            "valid",
        ),
        case(
            "ElevenLabs: 403",
            &speech,
            refuse(elevenlabs::error(403, "only_for_creator+", "no")),
            "valid",
        ),
        case(
            "ElevenLabs: 429",
            &speech,
            refuse(elevenlabs::too_many_requests()),
            "valid",
        ),
        case("Azure: 401", &azure, refuse(azure_401), "invalid"),
        case("Azure: 429", &azure, refuse(too_many), "valid"),
    ]
}

fn by_close() -> Vec<Case> {
    let (speech, azure, live) = (talk::speech(), azure_path(), talk::GEMINI_LIVE);
    let no_credits = "This request exceeds your quota of 10000. You have 0 credits remaining.";
    vec![
        case(
            "ElevenLabs: wrong key",
            &speech,
            closes(1, 1008, "Invalid API key"),
            "invalid",
        ),
        case(
            "ElevenLabs: no credits",
            &speech,
            closes(1, 1008, no_credits),
            "valid",
        ),
        case(
            "ElevenLabs: no such voice",
            &speech,
            closes(1, 1008, "A voice with this voice_id does not exist."),
            "valid",
        ),
        case(
            "Azure: quota",
            &azure,
            closes(1, 1007, "Quota exceeded."),
            "valid",
        ),
        case(
            "Azure: limit",
            &azure,
            closes(1, 4429, "Concurrent request limit reached."),
            "valid",
        ),
        case(
            "Azure: parameter",
            &azure,
            closes(1, 1007, "Unsupported language xx-XX."),
            "valid",
        ),
        case(
            "Gemini: wrong key",
            live,
            closes(1, 1007, gemini_live::BAD_KEY),
            "invalid",
        ),
        case(
            "Gemini: expired key",
            live,
            closes(1, 1007, "API key expired. Please renew the API key."),
            "invalid",
        ),
        case(
            "Gemini: argument",
            live,
            closes(1, 1007, "Request contains an invalid argument."),
            "valid",
        ),
        case(
            "Gemini: location",
            live,
            closes(1, 1007, "User location is not supported for the API use."),
            "valid",
        ),
        case(
            "Gemini: its own trouble",
            live,
            closes(1, 1011, "Internal error encountered."),
            "valid",
        ),
    ]
}

fn by_message() -> Vec<Case> {
    let dialogue = "/v1/text-to-dialogue/stream-input?model_id=eleven_v4";
    let refused =
        json!({"message": "Invalid API key", "error": "invalid_api_key", "code": 1008, "param": null});
    let refused = Behaviour::Socket(Act::say_and_close(&refused, 1008, "invalid_api_key").after(1));
    vec![
        case(
            "realtime: auth_error",
            talk::REALTIME,
            says("auth_error", 1008),
            "invalid",
        ),
        case(
            "realtime: auth_error, then no fault",
            talk::REALTIME,
            says("auth_error", 1000),
            "invalid",
        ),
        case(
            "realtime: quota_exceeded",
            talk::REALTIME,
            says("quota_exceeded", 1008),
            "valid",
        ),
        case(
            "realtime: rate_limited",
            talk::REALTIME,
            says("rate_limited", 1008),
            "valid",
        ),
        case(
            "realtime: input_error",
            talk::REALTIME,
            says("input_error", 1008),
            "valid",
        ),
        case("dialogue: invalid_api_key", dialogue, refused, "invalid"),
    ]
}

impl Case {
    /// A user of its own with a key that is treated so.
    async fn begin(&self, world: &World, number: usize) -> User {
        let user = world.user(&format!("user-{}-{number}", self.provider)).await;
        let key = world.stored_key(&user, self.provider).await;
        for fake in world.fakes.of(self.provider) {
            fake.treat(&key, self.behaviour.clone());
        }
        user
    }

    fn first_message(&self) -> Value {
        match self.provider {
            "gemini" => talk::gemini_setup(gemini_live::CONVERSES),
            _ if self.path.contains("dialogue") => json!({"voices": [elevenlabs::VOICE]}),
            _ => talk::blank(),
        }
    }

    /// The credential's status once it is as expected, or after a while.
    async fn check_status(&self, world: &World, user: &User) {
        let path = format!("/api/v1/credentials/{}", self.provider);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(3);
        loop {
            let credential = world.read(user, &path).await;
            // What is to stay valid is looked at after the record is there, so that it had its time.
            if credential["status"] == self.status {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{}: {credential:#}",
                self.name
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_at_the_upgrade_is_judged() {
    let world = talk::world(&[]).await;
    for (number, case) in by_status().into_iter().enumerate() {
        let user = case.begin(&world, number).await;
        let Behaviour::Refuse(canned) = &case.behaviour else {
            unreachable!("written above")
        };
        let refused = world.dial_as(&user, case.provider, &case.path).refused().await;
        let got = (refused.head.status, refused.body.as_str());
        assert_eq!(
            got,
            (canned.status.as_u16(), canned.body.as_str()),
            "{}",
            case.name
        );
        let invalid = refused.head.header("x-voxgate-error") == Some("credential_invalid");
        assert_eq!(invalid, case.status == "invalid", "{}: {refused:?}", case.name);
        let record = &world.usage(&user, 1).await[0];
        assert_eq!(record["status"], canned.status.as_u16(), "{}", case.name);
        assert_eq!(record["outcome"], "error", "{}: {record:#}", case.name);
        case.check_status(&world, &user).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_with_its_reason_is_judged_and_passed_on() {
    let world = talk::world(&[]).await;
    for (number, case) in by_close().into_iter().enumerate() {
        let user = case.begin(&world, number).await;
        let mut socket = world.dial_as(&user, case.provider, &case.path).open().await;
        match case.provider {
            "azure" => socket.send_text(&talk::usp_config()).await,
            _ => socket.send_json(&case.first_message()).await,
        }
        let Behaviour::Socket(conduct) = &case.behaviour else {
            unreachable!("written above")
        };
        let Act::Close { code, reason } = &conduct.act else {
            unreachable!("written above")
        };
        let close = socket.closed().await;
        let expected = Close {
            code: Some(*code),
            reason: reason.clone(),
        };
        assert_eq!(close, expected, "{}", case.name);
        let record = &world.usage(&user, 1).await[0];
        assert_eq!(
            (&record["close_code"], &record["closed_by"]),
            (&json!(code), &json!("provider")),
            "{}",
            case.name
        );
        assert_eq!(record["outcome"], "error", "{}: {record:#}", case.name);
        case.check_status(&world, &user).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_after_the_upgrade_is_judged_and_passed_on() {
    let world = talk::world(&[]).await;
    for (number, case) in by_message().into_iter().enumerate() {
        let user = case.begin(&world, number).await;
        let mut socket = world.dial_as(&user, case.provider, &case.path).open().await;
        if case.path.contains("dialogue") {
            socket.send_json(&case.first_message()).await;
        }
        let Behaviour::Socket(conduct) = &case.behaviour else {
            unreachable!("written above")
        };
        let Act::Say { messages, then } = &conduct.act else {
            unreachable!("written above")
        };
        assert_eq!(
            socket.message().await,
            Received::Text(messages[0].clone()),
            "{}",
            case.name
        );
        let (code, reason) = then.clone().expect("written above");
        socket.closed().await.is(code, &reason);
        world.usage(&user, 1).await;
        case.check_status(&world, &user).await;
    }
    world.end().await;
}

/// Who has lost a key is told at the next handshake, without asking the provider again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_refused_can_be_mended() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    world.fakes.elevenlabs.treat(&key, says("auth_error", 1008));
    world
        .dial_as(&user, "elevenlabs", talk::REALTIME)
        .open()
        .await
        .closed()
        .await;
    let gone = case("auth_error", talk::REALTIME, Behaviour::Normal, "invalid");
    gone.check_status(&world, &user).await;
    let audit = world.read(&user, "/api/v1/audit?limit=50").await.to_string();
    assert!(
        audit.contains("credential_invalid") || audit.contains("invalid"),
        "{audit}"
    );

    world.fakes.elevenlabs.treat(&key, Behaviour::Normal);
    world
        .ask_admin(
            &user,
            Method::POST,
            "/api/v1/credentials/elevenlabs/validate",
            None,
        )
        .await
        .succeeded();
    let mut socket = world.dial_as(&user, "elevenlabs", talk::REALTIME).open().await;
    assert_eq!(socket.json().await["message_type"], "session_started");
    socket.close(1000, "").await;
    world.end().await;
}
