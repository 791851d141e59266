//! The official SDKs straight at the strict providers, over WebSockets, plain and with TLS: they understand each other,
//! so what fails through the gateway is the gateway's doing.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::fakes::tls::Authority;
use crate::fakes::{Behaviour, Fake, Kind};
use crate::harness::direct::KEY;
use crate::harness::realtime::{self, Called, calls, error};
use crate::harness::sdk::Script;

/// A provider's hosts that SDKs call themselves.
struct Provider {
    fakes: Vec<Arc<Fake>>,
    folder: tempfile::TempDir,
    authority: Option<PathBuf>,
}

impl Provider {
    async fn plain(kinds: &[Kind]) -> Self {
        Self::start(kinds, None).await
    }

    async fn secure(kinds: &[Kind]) -> Self {
        Self::start(kinds, Some(Authority::new())).await
    }

    async fn start(kinds: &[Kind], authority: Option<Authority>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the run");
        let mut fakes = Vec::new();
        for kind in kinds {
            let identity = authority.as_ref().map(Authority::identity);
            let fake = Fake::start_for_sdks(*kind, identity.as_ref()).await;
            fake.treat(KEY, Behaviour::Normal);
            fakes.push(fake);
        }
        Self {
            authority: authority.map(|authority| authority.write(folder.path())),
            fakes,
            folder,
        }
    }

    /// One host's URL as it is, or what Azure's scripts take: endpoints, of which speech has the given path, and hosts.
    fn base_url(&self, speech: &str) -> String {
        let url = |at: usize| self.fakes[at].url.replacen("http", "ws", 1);
        match self.fakes.len() {
            1 => self.fakes[0].url.clone(),
            _ => {
                let (tts, stt) = (url(0), url(1));
                format!("{tts}{speech},{stt}/speech/universal/v2,{tts},{stt}")
            }
        }
    }

    async fn report(&self, script: Script, speech: &str, key: &str) -> serde_json::Value {
        let called = Called {
            base_url: self.base_url(speech),
            key,
            authority: self.authority.clone(),
        };
        called.report(script, self.folder.path()).await
    }

    #[track_caller]
    fn content(&self) {
        for fake in &self.fakes {
            assert!(fake.complaints().is_empty(), "{:?}", fake.complaints());
            assert!(fake.call_count() > 0, "{:?} was called", fake.kind);
        }
    }
}

const ELEVENLABS: &[Kind] = &[Kind::ElevenLabs];
const AZURE: &[Kind] = &[Kind::AzureTts, Kind::AzureStt];
const GEMINI: &[Kind] = &[Kind::Gemini];

/// The JavaScript SDK asks elsewhere first where the path is the other, standard one.
const SPEECH: &str = "/cognitiveservices/websocket/v1";

async fn elevenlabs(script: Script, provider: Provider) {
    realtime::check_elevenlabs(&provider.report(script, "", KEY).await).await;
    provider.content();
    let refused = provider.report(script, "", "a-key-of-nobodys").await;
    for call in calls(&refused) {
        let error = error(&refused, call).to_string();
        let says = if call == "speech" {
            "Invalid API key"
        } else {
            "auth_error"
        };
        assert!(error.contains(says), "{call}: {error}");
    }
}

async fn azure(script: Script, provider: Provider) {
    realtime::check_azure(&provider.report(script, SPEECH, KEY).await).await;
    provider.content();
    let refused = provider.report(script, SPEECH, "a-key-of-nobodys").await;
    for call in calls(&refused) {
        let error = error(&refused, call);
        assert_eq!(error["class"], "Canceled", "{call}: {error}");
        if script.0.ends_with(".py") {
            assert_eq!(error["code"], "AuthenticationFailure", "{call}: {error}");
        }
    }
}

async fn gemini(script: Script, provider: Provider) {
    realtime::check_gemini(&provider.report(script, "", KEY).await).await;
    provider.content();
    let refused = provider.report(script, "", "a-key-of-nobodys").await;
    for call in calls(&refused) {
        let error = error(&refused, call);
        assert_eq!(error["status"], json!(1007), "{call}: {error}");
        assert!(
            error["body"].to_string().contains("API key not valid"),
            "{call}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_for_python() {
    elevenlabs(realtime::ELEVENLABS_PYTHON, Provider::plain(ELEVENLABS).await).await;
    elevenlabs(realtime::ELEVENLABS_PYTHON, Provider::secure(ELEVENLABS).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_for_javascript() {
    elevenlabs(realtime::ELEVENLABS_JAVASCRIPT, Provider::plain(ELEVENLABS).await).await;
    elevenlabs(
        realtime::ELEVENLABS_JAVASCRIPT,
        Provider::secure(ELEVENLABS).await,
    )
    .await;
}

/// The native library trusts what `SSL_CERT_FILE` names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_for_python() {
    azure(realtime::AZURE_PYTHON, Provider::plain(AZURE).await).await;
    azure(realtime::AZURE_PYTHON, Provider::secure(AZURE).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_for_javascript() {
    azure(realtime::AZURE_JAVASCRIPT, Provider::plain(AZURE).await).await;
    azure(realtime::AZURE_JAVASCRIPT, Provider::secure(AZURE).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_for_python_which_takes_tls_alone() {
    gemini(realtime::GEMINI_PYTHON, Provider::secure(GEMINI).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_for_javascript() {
    gemini(realtime::GEMINI_JAVASCRIPT, Provider::plain(GEMINI).await).await;
    gemini(realtime::GEMINI_JAVASCRIPT, Provider::secure(GEMINI).await).await;
}
