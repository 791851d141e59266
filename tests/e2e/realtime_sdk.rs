//! The official SDKs, unmodified but for base URL and key, holding conversations through the gateway, plain and over
//! TLS: they get what they get from the provider itself, and every connection is on record.

use serde_json::Value;

use crate::fakes::tls::Authority;
use crate::fakes::{Ending, Fakes, Seen};
use crate::harness::realtime::{self, Called, calls, error, recorded_seconds};
use crate::harness::sdk::Script;
use crate::harness::secure::listen_with;
use crate::harness::unified::WORDS;
use crate::harness::{Database, User, World};

/// One script, and how it is pointed at the gateway.
struct Suite {
    script: Script,
    provider: &'static str,
    secure: bool,
}

impl Suite {
    /// Runs the script with a user's token; its report, the records of its connections and the provider's side of them.
    async fn run(self) -> (World, Value, Vec<Value>) {
        let authority = Authority::new();
        let identity = authority.identity();
        let world = World::with_fakes(Database::Sqlite, Fakes::strict().await, |config, folder| {
            authority.write(folder);
            if self.secure {
                listen_with(&identity, config, folder);
            }
        })
        .await;
        let user = world.user("ann").await;
        let key = world.stored_key(&user, self.provider).await;
        let report = self.report(&world, &user.token).await;
        let seen = self.settled(&world, &key).await;
        let records = world.usage(&user, seen.len()).await;
        check_records(&records, &seen);
        self.a_stranger_is_refused(&world).await;
        (world, report, records)
    }

    async fn report(&self, world: &World, token: &str) -> Value {
        let called = Called {
            base_url: self.base_url(world),
            key: token,
            authority: self.secure.then(|| world.folder().join("authority.pem")),
        };
        let report = called.report(self.script, world.folder()).await;
        world
            .planted
            .search("what an SDK was answered", report.to_string().as_bytes());
        report
    }

    fn base_url(&self, world: &World) -> String {
        let url = |path: &str| match self.secure {
            true => world.secure_url(path),
            false => world.gateway(path),
        };
        if self.provider != "azure" {
            return url(&format!("/{}", self.provider));
        }
        let host = url("").replacen("http", "ws", 1);
        let speech = format!("{host}/azure/tts/cognitiveservices/websocket/v1");
        format!("{speech},{host}/azure/stt/speech/universal/v2,{host},{host}")
    }

    /// The provider's side of every connection, once all have ended.
    async fn settled(&self, world: &World, key: &str) -> Vec<Seen> {
        let mut all = Vec::new();
        for fake in world.fakes.of(self.provider) {
            if !fake.calls_with(key).is_empty() {
                fake.until(key, "its last connection ended", |call| {
                    call.ending != Ending::Open
                })
                .await;
            }
            all.extend(fake.calls_with(key));
        }
        // Storing a key has asked for lists.
        all.retain(|call| call.socket.is_some());
        all
    }

    async fn a_stranger_is_refused(&self, world: &World) {
        let stranger = User::of_token("nobody", &format!("vxg_{}", "0".repeat(36)));
        let report = self.report(world, &stranger.token).await;
        for call in calls(&report) {
            let error = error(&report, call).to_string();
            // The JavaScript SDKs of ElevenLabs and Azure tell of a failed handshake, but not how it failed.
            let tells = !(self.script.0.ends_with(".mjs") && self.provider == "azure");
            assert!(!tells || error.contains("401"), "{call}: {error}");
        }
    }
}

/// Every connection has one record, which counts as the provider does.
#[track_caller]
fn check_records(records: &[Value], seen: &[Seen]) {
    let mut on_record: Vec<(u64, u64)> = records
        .iter()
        .map(|record| {
            assert_eq!(record["status"], 101, "{record:#}");
            assert_eq!(record["outcome"], "ok", "{record:#}");
            assert_eq!(record["mode"], "native", "{record:#}");
            let count = |name: &str| {
                record[name]
                    .as_u64()
                    .unwrap_or_else(|| panic!("{name}: {record:#}"))
            };
            (count("messages_in"), count("messages_out"))
        })
        .collect();
    let counts = |call: &Seen| call.socket.as_ref().map(|socket| (socket.heard, socket.said));
    let mut counted: Vec<(u64, u64)> = seen.iter().filter_map(counts).collect();
    on_record.sort_unstable();
    counted.sort_unstable();
    assert_eq!(on_record, counted);
}

fn of<'r>(records: &'r [Value], operation: &str) -> Vec<&'r Value> {
    records
        .iter()
        .filter(|record| record["operation"] == operation)
        .collect()
}

/// A number of a record within these bounds.
#[track_caller]
fn within(record: &Value, field: &str, least: f64, most: f64) {
    let found = record[field].as_f64();
    assert!(
        found.is_some_and(|found| (least..=most).contains(&found)),
        "{field} in {record:#}"
    );
}

async fn elevenlabs(script: Script, secure: bool) {
    let suite = Suite {
        script,
        provider: "elevenlabs",
        secure,
    };
    let (world, report, records) = suite.run().await;
    realtime::check_elevenlabs(&report).await;
    let seconds = recorded_seconds().await;
    let listened = of(&records, "stt");
    assert_eq!(listened.len(), 2, "{records:#?}");
    for record in listened {
        // By pauses, a second of silence comes after the recording.
        within(record, "audio_seconds_in", seconds - 0.1, seconds + 1.1);
        assert_eq!(
            (&record["close_code"], &record["closed_by"]),
            (&1000.into(), &"caller".into())
        );
        assert_eq!(record["model"], "scribe_v2_realtime");
    }
    for record in of(&records, "tts") {
        // The SDK begins with a blank, and adds one where a piece has none at its end.
        within(record, "characters", WORDS.len() as f64, WORDS.len() as f64 + 4.0);
        within(record, "audio_seconds_out", 1.5, 4.0);
        assert_eq!(
            (&record["close_code"], &record["closed_by"]),
            (&1000.into(), &"provider".into())
        );
        assert_eq!(record["model"], "eleven_flash_v2_5");
    }
    world.end().await;
}

async fn azure(script: Script, secure: bool) {
    let suite = Suite {
        script,
        provider: "azure",
        secure,
    };
    let (world, report, records) = suite.run().await;
    realtime::check_azure(&report).await;
    let (spoken, listened) = (of(&records, "tts"), of(&records, "stt"));
    assert_eq!((spoken.len(), listened.len()), (3, 3), "{records:#?}");
    for record in spoken {
        assert_eq!(record["characters"], WORDS.len(), "{record:#}");
        within(record, "audio_seconds_out", 1.5, 4.0);
    }
    for record in listened {
        // Who wants one phrase stops sending after it.
        within(record, "audio_seconds_in", 1.0, recorded_seconds().await + 0.1);
    }
    world.end().await;
}

async fn gemini(script: Script, secure: bool) {
    let suite = Suite {
        script,
        provider: "gemini",
        secure,
    };
    let (world, report, records) = suite.run().await;
    realtime::check_gemini(&report).await;
    let refused = error(&report, "chat_model")["body"].to_string();
    assert!(refused.contains("forbidden_endpoint"), "{refused}");
    assert_eq!(records.len(), 2, "the chat was refused: {records:#?}");
    for record in &records {
        within(record, "audio_seconds_out", 0.8, 4.0);
        assert_eq!(record["model"], "gemini-3.8-live");
        assert!(!record["estimated_cost"].is_null(), "{record:#}");
    }
    let heard = records
        .iter()
        .find(|record| record["audio_seconds_in"].as_f64() > Some(0.0));
    let seconds = recorded_seconds().await;
    within(
        heard.expect("one had sound"),
        "audio_seconds_in",
        1.0,
        seconds + 0.1,
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_for_python() {
    elevenlabs(realtime::ELEVENLABS_PYTHON, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_for_python_over_tls_where_it_speaks_too() {
    elevenlabs(realtime::ELEVENLABS_PYTHON, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_for_javascript() {
    elevenlabs(realtime::ELEVENLABS_JAVASCRIPT, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_for_javascript_over_tls() {
    elevenlabs(realtime::ELEVENLABS_JAVASCRIPT, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_for_python() {
    azure(realtime::AZURE_PYTHON, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_for_python_over_tls() {
    azure(realtime::AZURE_PYTHON, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_for_javascript() {
    azure(realtime::AZURE_JAVASCRIPT, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_for_javascript_over_tls() {
    azure(realtime::AZURE_JAVASCRIPT, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_for_python_which_takes_tls_alone() {
    gemini(realtime::GEMINI_PYTHON, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_for_javascript() {
    gemini(realtime::GEMINI_JAVASCRIPT, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_for_javascript_over_tls() {
    gemini(realtime::GEMINI_JAVASCRIPT, true).await;
}
