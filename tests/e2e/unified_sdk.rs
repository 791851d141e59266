//! OpenAI's official SDKs, unmodified but for base URL and key, against `/v1`: every call with every provider, and
//! failures as their own typed errors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::fakes::{Behaviour, elevenlabs};
use crate::harness::sdk::Script;
use crate::harness::unified::{AZURE, ELEVENLABS, GEMINI, HEARD, Provider, recording};
use crate::harness::{User, World, sound};

const PYTHON: Script = Script("openai_calls.py");
const JAVASCRIPT: Script = Script("openai_calls.mjs");

/// Interpreters are heavy to start; more than this many at once only delay one another.
static INTERPRETERS: Semaphore = Semaphore::const_new(2);

async fn report(world: &World, script: Script, token: &str, provider: Provider, only: &str) -> Value {
    let file = world.folder().join("recording.wav");
    std::fs::write(&file, recording().await).expect("write the recording");
    let (speaks_with, listens_with) = (provider.speech_model(), provider.transcript_model());
    let mut more = vec![speaks_with.as_str(), provider.voice, listens_with.as_str()];
    more.extend((!only.is_empty()).then_some(only));
    let _turn = INTERPRETERS.acquire().await.expect("a turn");
    let report = script.report_of(&world.gateway("/v1"), token, &file, &more).await;
    world
        .planted
        .search("what an SDK was answered", report.to_string().as_bytes());
    report
}

fn result<'a>(report: &'a Value, call: &str) -> &'a Value {
    assert!(report[call]["error"].is_null(), "{call}: {}", report[call]);
    &report[call]["result"]
}

fn audio(result: &Value) -> Vec<u8> {
    STANDARD
        .decode(result["audio"].as_str().expect("audio"))
        .expect("audio in base64")
}

fn plain(text: &Value) -> String {
    let text = text.as_str().expect("text").to_lowercase();
    text.chars()
        .filter(|letter| letter.is_alphabetic() || *letter == ' ')
        .collect::<String>()
        .trim()
        .to_owned()
}

async fn works(script: Script, provider: Provider) {
    let world = World::unified().await;
    let user = world.user("ann").await;
    world.stored_key(&user, provider.id).await;
    let report = report(&world, script, &user.token, provider, "").await;
    check_speech(&report, provider).await;
    check_transcripts(&report);
    check_lists(&report, provider);
    let aac = &report["speech_aac"]["error"];
    assert_eq!(
        (&aac["class"], &aac["code"]),
        (&json!("BadRequestError"), &json!("unsupported_format")),
        "{aac}"
    );
    let unknown = &report["unknown_provider"]["error"];
    assert_eq!(
        (&unknown["class"], &unknown["code"]),
        (&json!("NotFoundError"), &json!("unknown_provider")),
        "{unknown}"
    );
    if provider.id == "azure" {
        assert!(result(&report, "translation").is_string());
    } else {
        assert_eq!(
            report["translation"]["error"]["class"], "BadRequestError",
            "{}",
            report["translation"]
        );
    }
    world.end().await;
}

async fn check_speech(report: &Value, provider: Provider) {
    for (format, content_type) in [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    ] {
        let spoken = result(report, &format!("speech_{format}"));
        assert_eq!(spoken["content_type"], content_type);
        assert_eq!(spoken["provider"], provider.id);
        assert_eq!(
            sound::heard(format, &audio(spoken)).await.text(),
            HEARD,
            "{format}"
        );
    }
    let plain = audio(result(report, "speech_pcm"));
    let events = result(report, "speech_events");
    assert!(
        audio(events) == plain,
        "the events hold other audio than the plain answer"
    );
    assert_eq!(events["last"]["type"], "speech.audio.done");
    assert_eq!(
        result(report, "speech_stream")["bytes"].as_u64(),
        Some(plain.len() as u64)
    );
}

fn check_transcripts(report: &Value) {
    assert_eq!(plain(&result(report, "transcript_json")["text"]), HEARD);
    assert_eq!(plain(&result(report, "transcript_language")["text"]), HEARD);
    assert_eq!(plain(result(report, "transcript_text")), HEARD);
    assert!(
        result(report, "transcript_srt")
            .as_str()
            .is_some_and(|srt| srt.starts_with("1\n00:00:00,"))
    );
    assert!(
        result(report, "transcript_vtt")
            .as_str()
            .is_some_and(|vtt| vtt.starts_with("WEBVTT"))
    );
    let verbose = result(report, "transcript_verbose_json");
    assert_eq!(plain(&verbose["text"]), HEARD);
    assert!(
        verbose["segments"]
            .as_array()
            .is_some_and(|segments| !segments.is_empty()),
        "{verbose}"
    );
    let diarized = result(report, "transcript_diarized_json");
    assert_ne!(
        diarized["segments"][0]["speaker"], diarized["segments"][1]["speaker"],
        "{diarized}"
    );
    let words = &result(report, "transcript_words")["words"];
    assert_eq!(words.as_array().map(Vec::len), Some(5), "{words}");
    let events = result(report, "transcript_stream").as_array().expect("events");
    let last = events.last().expect("an event");
    assert_eq!(
        (&last["type"], plain(&last["text"])),
        (&json!("transcript.text.done"), HEARD.to_owned()),
        "{last}"
    );
}

fn check_lists(report: &Value, provider: Provider) {
    let models = result(report, "models").as_array().expect("a list");
    for id in [
        "default".to_owned(),
        provider.speech_model(),
        provider.transcript_model(),
    ] {
        assert!(models.contains(&json!(id)), "{id} is missing in {models:?}");
    }
    let model = result(report, "model");
    assert_eq!(
        (&model["id"], &model["object"]),
        (&json!(provider.speech_model()), &json!("model"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_works_with_elevenlabs() {
    works(PYTHON, ELEVENLABS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_works_with_azure() {
    works(PYTHON, AZURE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_works_with_gemini() {
    works(PYTHON, GEMINI).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_works_with_elevenlabs() {
    works(JAVASCRIPT, ELEVENLABS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_works_with_azure() {
    works(JAVASCRIPT, AZURE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_works_with_gemini() {
    works(JAVASCRIPT, GEMINI).await;
}

/// The class of error that both of these calls raise, whose status and code the SDK has read.
async fn raises(world: &World, script: Script, token: &str, class: &str, status: u16, code: &str) {
    let report = report(world, script, token, ELEVENLABS, "speech_mp3,transcript_json").await;
    for call in ["speech_mp3", "transcript_json"] {
        let error = &report[call]["error"];
        let classes = error["classes"]
            .as_array()
            .unwrap_or_else(|| panic!("{call}: {report}"));
        assert!(classes.contains(&json!(class)), "{call}: {error}");
        assert_eq!(
            (&error["status"], &error["code"]),
            (&json!(status), &json!(code)),
            "{call}: {error}"
        );
        if status == 424 {
            assert!(error["body"]["setup_url"].is_string(), "{call}: {error}");
        }
    }
}

async fn failures_are_typed(script: Script, status_error: &str) {
    let world = World::unified().await;
    let stranger = format!("vxg_{}", "0".repeat(36));
    raises(
        &world,
        script,
        &stranger,
        "AuthenticationError",
        401,
        "unauthenticated",
    )
    .await;
    let user: User = world.user("ann").await;
    raises(
        &world,
        script,
        &user.token,
        status_error,
        424,
        "credential_missing",
    )
    .await;
    for (behaviour, class, status, code) in [
        (
            elevenlabs::too_many_requests(),
            "RateLimitError",
            429,
            "provider_rate_limited",
        ),
        (
            elevenlabs::error(400, "invalid_parameters", "no"),
            "BadRequestError",
            400,
            "invalid_request",
        ),
        (elevenlabs::refuse_key(), status_error, 424, "credential_invalid"),
        (
            elevenlabs::system_busy(),
            "InternalServerError",
            502,
            "provider_error",
        ),
    ] {
        // What a provider did to one user's key is not held against another's.
        let user = world.user(code).await;
        let key = world.stored_key(&user, "elevenlabs").await;
        world.fakes.elevenlabs.treat(&key, Behaviour::Refuse(behaviour));
        raises(&world, script, &user.token, class, status, code).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_raises_its_own_errors() {
    failures_are_typed(PYTHON, "APIStatusError").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_raises_its_own_errors() {
    failures_are_typed(JAVASCRIPT, "APIError").await;
}
