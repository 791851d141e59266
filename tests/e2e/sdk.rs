//! The official SDKs, unmodified but for base URL and key: what they give through the gateway is what they give
//! when they call the provider, and a refusal becomes their own typed error.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::fakes::audio;
use crate::harness::sdk::Script;
use crate::harness::{Database, User, World};

/// Interpreters are heavy to start; more than this many at once only delay one another.
static INTERPRETERS: Semaphore = Semaphore::const_new(2);

struct Suite {
    script: Script,
    provider: &'static str,
    /// The call whose audio arrives in pieces.
    streamed: &'static str,
    /// The class of error that each call raises when it is refused.
    error_class: fn(&str) -> &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_for_python() {
    let script = Script("elevenlabs_calls.py");
    Suite {
        script,
        provider: "elevenlabs",
        streamed: "tts_stream",
        error_class: |_| "ApiError",
    }
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_for_javascript() {
    let script = Script("elevenlabs_calls.mjs");
    Suite {
        script,
        provider: "elevenlabs",
        streamed: "tts_stream",
        error_class: |_| "ElevenLabsError",
    }
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_for_python() {
    let script = Script("gemini_calls.py");
    Suite {
        script,
        provider: "gemini",
        streamed: "tts_stream",
        error_class: |_| "ClientError",
    }
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_for_javascript() {
    let script = Script("gemini_calls.mjs");
    Suite {
        script,
        provider: "gemini",
        streamed: "tts_stream",
        error_class: |_| "ApiError",
    }
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_for_python() {
    // Only fast transcription has an SDK over HTTP; the other calls are made by a plain client.
    let error_class = |call: &str| {
        if call == "stt" {
            "ClientAuthenticationError"
        } else {
            "HTTPStatusError"
        }
    };
    Suite {
        script: Script("azure_calls.py"),
        provider: "azure",
        streamed: "tts",
        error_class,
    }
    .run()
    .await;
}

impl Suite {
    async fn run(self) {
        let world = World::start(Database::Sqlite).await;
        let user = world.user("ann").await;
        let key = world.stored_key(&user, self.provider).await;
        self.a_good_key_works_alike(&world, &user, &key).await;
        self.a_stranger_is_refused(&world).await;
        self.a_dead_key_fails_alike(&world, &user, &key).await;
        world.end().await;
    }

    async fn a_good_key_works_alike(&self, world: &World, user: &User, key: &str) {
        let direct = self.directly(world, key).await;
        let through = self.through(world, &user.token).await;
        for (call, report) in calls(&direct) {
            assert!(
                report["error"].is_null(),
                "{call} fails even without the gateway: {report}"
            );
            assert_eq!(timeless(&through[call]), timeless(report), "{call}");
        }
        self.check_streaming(world, key, &through);
    }

    async fn a_stranger_is_refused(&self, world: &World) {
        let stranger = format!("vxg_{}", "0".repeat(36));
        for (call, report) in calls(&self.through(world, &stranger).await) {
            let error = &report["error"];
            assert_eq!(error["class"], (self.error_class)(call), "{call}: {report}");
            assert_eq!(error["status"], 401, "{call}: {report}");
            assert!(
                error["body"].to_string().to_lowercase().contains("token"),
                "{call} tells what is missing: {report}"
            );
        }
    }

    async fn a_dead_key_fails_alike(&self, world: &World, user: &User, key: &str) {
        for fake in world.fakes.of(self.provider) {
            fake.forget(key);
        }
        let direct = self.directly(world, key).await;
        let through = self.through(world, &user.token).await;
        for (call, report) in calls(&direct) {
            assert_eq!(
                report["error"]["class"],
                (self.error_class)(call),
                "{call}: {report}"
            );
            assert_eq!(&through[call], report, "{call}");
        }
        let credential = world
            .read(user, &format!("/api/v1/credentials/{}", self.provider))
            .await;
        assert_eq!(credential["status"], "invalid");
    }

    async fn directly(&self, world: &World, key: &str) -> Value {
        let urls: Vec<&str> = world
            .fakes
            .of(self.provider)
            .iter()
            .map(|fake| fake.url.as_str())
            .collect();
        self.report(world, &urls.join(","), key).await
    }

    async fn through(&self, world: &World, token: &str) -> Value {
        let report = self
            .report(world, &world.gateway(&format!("/{}", self.provider)), token)
            .await;
        world
            .planted
            .search("what an SDK was answered", report.to_string().as_bytes());
        report
    }

    async fn report(&self, world: &World, base_url: &str, key: &str) -> Value {
        let recording = world.folder().join("recording.wav");
        std::fs::write(&recording, audio::recording("sdk", 9_000)).expect("write the recording");
        let _turn = INTERPRETERS.acquire().await.expect("a turn");
        self.script.report(base_url, key, &recording).await
    }

    /// The SDK had the first piece before the provider sent the last.
    fn check_streaming(&self, world: &World, key: &str, through: &Value) {
        let first_at = through[self.streamed]["result"]["first_at"]
            .as_f64()
            .expect("a first piece");
        let calls = world
            .fakes
            .of(self.provider)
            .into_iter()
            .flat_map(|fake| fake.calls_with(key));
        // The call of this report: the one whose pieces were being sent when the SDK got its first.
        let between = |sent: &[SystemTime]| {
            seconds(sent[0]) <= first_at + 0.002 && first_at < seconds(sent[sent.len() - 1])
        };
        assert!(
            calls
                .map(|call| call.sent)
                .any(|sent| sent.len() > 1 && between(&sent)),
            "{}: the first piece came only after the last was sent",
            self.streamed
        );
    }
}

fn calls(report: &Value) -> impl Iterator<Item = (&str, &Value)> {
    report
        .as_object()
        .expect("a report")
        .iter()
        .map(|(call, report)| (call.as_str(), report))
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs_f64()
}

/// A report without its times.
fn timeless(report: &Value) -> Value {
    let mut report = report.clone();
    if let Some(result) = report["result"].as_object_mut() {
        result.remove("first_at");
        result.remove("last_at");
    }
    report
}
