//! What a caller can call, with providers that answer, fail and hang.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use catalogue::Catalogue;
use policies::descriptor::Providers;
use policies::vocabulary::{Actor, Caller, CredentialStatus, Owner, Scope, Scopes, UserId};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;
use vault::{NewCredential, Secret, SystemClock, Vault, VaultSettings};

/// The key whose provider takes it, the one that it refuses, and the one that it fails over.
const KEY: &str = "planted-key-0123456789-wxyz";
const WRONG: &str = "wrong-key-0123456789-wxyz";
const FATAL: &str = "fatal-key-0123456789-wxyz";
const ELEVEN: &str = r#"[{"model_id":"eleven_v3","name":"v3","can_do_text_to_speech":true}]"#;
const REFUSES: &str = r#"{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}"#;

struct House {
    catalogue: Catalogue,
    vault: Vault,
    providers: Arc<Providers>,
    /// How often ElevenLabs was asked.
    asked: Arc<AtomicUsize>,
    _folder: TempDir,
}

/// Answers as ElevenLabs does on its own path, and lets every other provider wait for ever.
async fn fake(listener: TcpListener, asked: Arc<AtomicUsize>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(answer(socket, asked.clone()));
    }
}

async fn answer(mut socket: TcpStream, asked: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    if !head.starts_with("GET /v1/models") {
        return std::future::pending().await;
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let (status, body) = if head.contains(KEY) {
        (200, ELEVEN)
    } else if head.contains(FATAL) {
        (500, "{}")
    } else {
        (401, REFUSES)
    };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    // The asking side may have left.
    let _ = socket.write_all(answer.as_bytes()).await;
}

impl House {
    async fn build() -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(fake(listener, asked.clone()));
        let built_in = Providers::built_in().unwrap();
        let led = built_in.iter().fold(built_in.clone(), |led, provider| {
            let hosts: BTreeMap<_, _> = provider
                .hosts
                .keys()
                .map(|host| (host.clone(), url.clone()))
                .collect();
            led.with_hosts(provider.id.as_str(), &hosts).unwrap()
        });
        let providers = Arc::new(led);
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let settings = VaultSettings {
            url: format!("sqlite://{}", path("voxgate.db").display()),
            max_connections: 2,
            master_key_file: path("master.key"),
            migrate: true,
            journal: path("journal"),
            journal_max_bytes: 1 << 20,
            clock: Arc::new(SystemClock),
        };
        let vault = Vault::open(settings, providers.clone(), Vec::new())
            .await
            .unwrap();
        Self {
            catalogue: Catalogue::new(vault.clone(), providers.clone(), None).unwrap(),
            vault,
            providers,
            asked,
            _folder: folder,
        }
    }

    async fn store(&self, id: &str, key: &str) {
        let provider = self.providers.get(id).unwrap();
        let given = match id {
            "azure" => BTreeMap::from([("region".to_owned(), "eastus".to_owned())]),
            _ => BTreeMap::new(),
        };
        let settings = provider.settings(&given).unwrap();
        let new = NewCredential {
            owner: ann(),
            provider: provider.id.clone(),
            secret: Secret::new(key),
            hosts: provider.hosts(&settings).unwrap(),
            settings,
            status_reason: None,
            status_detail: None,
        };
        self.vault.put_credential(&actor(), new).await.unwrap();
    }

    /// `provider/model`, in order.
    async fn callable(&self, scopes: Option<&[Scope]>) -> Vec<String> {
        let caller = Caller {
            user: UserId::new("ann"),
            teams: Vec::new(),
            admin_of: Vec::new(),
            roles: Vec::new(),
            scopes: scopes.map(Scopes::of),
            token_id: None,
            expires_at: None,
        };
        let listed = self.catalogue.callable(&actor(), &caller).await;
        let ids = listed.iter().map(|one| format!("{}/{}", one.provider, one.model));
        ids.collect()
    }
}

fn ann() -> Owner {
    Owner::User(UserId::new("ann"))
}

fn actor() -> Actor {
    Actor {
        user: Some(UserId::new("ann")),
        ip: None,
        request_id: Uuid::now_v7(),
    }
}

const SCRIBES: [&str; 2] = ["elevenlabs/scribe_v2", "elevenlabs/scribe_v1"];

#[tokio::test]
async fn only_providers_with_a_key_are_listed_and_only_what_the_scopes_admit() {
    let house = House::build().await;
    assert!(house.callable(None).await.is_empty());
    house.store("elevenlabs", KEY).await;
    house.store("azure", KEY).await;
    let azure = [
        "azure/neural",
        "azure/hd",
        "azure/fast-transcription",
        "azure/mai-transcribe-2",
    ];
    let all = [&azure[..], &["elevenlabs/eleven_v3"], &SCRIBES].concat();
    assert_eq!(house.callable(None).await, all);
    assert_eq!(
        house.callable(Some(&[Scope::Tts])).await,
        ["azure/neural", "azure/hd", "elevenlabs/eleven_v3"]
    );
    assert_eq!(
        house.callable(Some(&[Scope::Stt])).await,
        [&azure[2..], &SCRIBES].concat()
    );
    assert!(house.callable(Some(&[Scope::UsageRead])).await.is_empty());
}

#[tokio::test]
async fn a_provider_that_hangs_does_not_keep_the_others() {
    let house = House::build().await;
    house.store("elevenlabs", KEY).await;
    house.store("gemini", KEY).await;
    let started = Instant::now();
    let listed = house.callable(Some(&[Scope::Tts])).await;
    assert_eq!(listed, ["elevenlabs/eleven_v3"]);
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_provider_that_fails_is_not_asked_again_at_once() {
    let house = House::build().await;
    house.store("elevenlabs", FATAL).await;
    for _ in 0..3 {
        assert_eq!(house.callable(Some(&[Scope::Stt])).await, SCRIBES);
    }
    assert_eq!(house.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_key_that_is_refused_lists_nothing_and_is_marked() {
    let house = House::build().await;
    house.store("elevenlabs", WRONG).await;
    assert!(house.callable(None).await.is_empty());
    let provider = &house.providers.get("elevenlabs").unwrap().id;
    for _ in 0..100 {
        let stored = house.vault.credential(&ann(), provider).await.unwrap().unwrap();
        if stored.status == CredentialStatus::Invalid {
            return assert!(house.callable(None).await.is_empty());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still valid after two seconds");
}
