//! A whole admin listener in process for tests: a vault on a temporary file, a clock that stands still, and
//! providers that say what a test wants.
//!
//! Every answer that passes through [`House::call`] is searched for the planted key.

mod fake;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use callers::{Callers, RefusalBudget};
use catalogue::Catalogue;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Method, Request, StatusCode};
use policies::descriptor::Providers;
use policies::vocabulary::{Actor, AuditAction, AuditEvent, Scope, TeamId, UserId};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;
use vault::{AuditFilter, FrozenClock, NewToken, Secret, SystemKey, Vault, VaultSettings};

use crate::Admin;
use crate::telemetry::Telemetry;

pub use fake::{Asked, Does, Fake};

/// The one right key at every fake provider. No answer may ever hold it.
pub const PLANTED: &str = "planted-key-0123456789-wxyz";
pub const MODELS: &str =
    r#"[{"model_id":"eleven_multilingual_v2","name":"Multilingual","can_do_text_to_speech":true}]"#;
pub const WRONG_KEY: &str = r#"{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}"#;
pub const LACKS_MODELS_READ: &str = r#"{"detail":{"status":"missing_permissions","message":"The API key you used is missing the permission models_read to execute this operation."}}"#;

pub struct House {
    pub fake: Fake,
    pub vault: Vault,
    pub clock: FrozenClock,
    pub admin: Arc<Admin>,
    router: Router,
    _folder: TempDir,
}

pub struct Said {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl House {
    pub async fn build() -> Self {
        Self::over(|providers| providers).await
    }

    /// With other providers than the built-in ones led to the fake.
    pub async fn over(change: impl FnOnce(Providers) -> Providers) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = TempDir::new().expect("a temporary folder");
        let fake = Fake::start().await;
        let clock = FrozenClock::at("2026-01-31T08:00:00Z".parse::<DateTime<Utc>>().expect("a time"));
        let providers = Arc::new(change(providers(&fake.url())));
        let vault = Vault::open(settings(&folder, &clock), providers.clone(), Vec::new())
            .await
            .expect("opens");
        let app = tokio::runtime::Handle::current();
        let callers =
            Callers::new(Vec::new(), vault.clone(), app, Arc::new(clock.clone())).expect("no issuers");
        let catalogue = Catalogue::new(vault.clone(), providers.clone(), None).expect("a client");
        let registry = prometheus::Registry::new();
        let admin = Arc::new(Admin {
            public_url: "http://admin.test".to_owned(),
            providers,
            vault: vault.clone(),
            callers,
            clock: Arc::new(clock.clone()),
            catalogue,
            strangers: RefusalBudget::new(),
            telemetry: Telemetry::register(&registry).expect("registers once"),
            registry,
        });
        let router = crate::api::router(admin.clone());
        Self {
            fake,
            vault,
            clock,
            admin,
            router,
            _folder: folder,
        }
    }

    /// A token that may do what its user may.
    pub async fn token(&self, user: &str) -> String {
        self.token_with(user, |_| ()).await
    }

    pub async fn token_with(&self, user: &str, change: impl FnOnce(&mut NewToken)) -> String {
        let mut new = NewToken {
            user: UserId::new(user),
            name: "test".to_owned(),
            ttl: None,
            scopes: None,
            roles: Vec::new(),
            teams: Vec::new(),
            admin_of: Vec::new(),
        };
        change(&mut new);
        let by = Actor {
            user: Some(UserId::new(user)),
            ip: None,
            request_id: Uuid::now_v7(),
        };
        let (_, token) = self.vault.create_token(&by, new).await.expect("a token");
        token.expose().to_owned()
    }

    pub async fn scoped(&self, user: &str, scope: Scope) -> String {
        self.token_with(user, |new| new.scopes = Some(vec![scope])).await
    }

    pub async fn operator(&self, user: &str) -> String {
        self.token_with(user, |new| new.roles = vec!["operator".to_owned()])
            .await
    }

    pub async fn member(&self, user: &str, team: &str, admin: bool) -> String {
        self.token_with(user, |new| {
            new.teams = vec![TeamId::new(team)];
            new.admin_of = if admin {
                vec![TeamId::new(team)]
            } else {
                Vec::new()
            };
        })
        .await
    }

    /// `line` is a method and a path; a body is sent as JSON.
    pub async fn call(&self, line: &str, token: &str, body: &str) -> Said {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder()
            .method(method.parse::<Method>().expect("a method"))
            .uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Body::from(body.to_owned())).expect("a request"))
            .await
    }

    pub async fn send(&self, request: Request<Body>) -> Said {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("routers do not fail");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a whole body");
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert!(!text.contains(PLANTED), "the key came back: {text}");
        assert!(
            !format!("{:?}", parts.headers).contains(PLANTED),
            "the key came back: {:?}",
            parts.headers
        );
        assert!(parts.headers.contains_key("x-voxgate-request-id"), "{text}");
        Said {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    /// Stores the planted key with a provider that takes it.
    pub async fn store(&self, token: &str) {
        self.fake.takes_the_planted_key();
        let said = self
            .call("PUT /api/v1/credentials/elevenlabs", token, &key(PLANTED))
            .await;
        assert!(said.status.is_success(), "{}", said.text);
    }

    /// The planted key as the system's, for those who have none of their own.
    pub fn serve_system_key(&self, provider: &str) {
        let provider = self.admin.providers.get(provider).expect("a built-in provider");
        let settings = provider.settings(&BTreeMap::new()).expect("it needs none");
        let hosts = provider.hosts(&settings).expect("hosts");
        let secret = Secret::new(PLANTED);
        let key = SystemKey {
            provider: provider.id.clone(),
            secret,
            settings,
            hosts,
        };
        self.vault.replace_system(vec![key]);
    }

    pub async fn audited(&self, action: AuditAction) -> Vec<AuditEvent> {
        let filter = AuditFilter {
            action: Some(action),
            limit: 200,
            ..AuditFilter::default()
        };
        self.vault.read_audit(filter).await.expect("the record").items
    }
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Checks that this is a problem of that code, in all the places where it is said.
    #[track_caller]
    pub fn is(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.headers["x-voxgate-error"], code, "{}", self.text);
        let problem = self.json();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&code.into(), &status.into()),
            "{problem}"
        );
        for member in ["type", "title", "detail"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member}: {problem}"
            );
        }
        assert_eq!(
            self.headers["x-voxgate-request-id"],
            problem["request_id"].as_str().expect("an id")
        );
        problem
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text);
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }
}

/// The body that stores a key.
pub fn key(key: &str) -> String {
    format!("{{\"api_key\":\"{key}\"}}")
}

/// The built-in providers, with every host led to the fake.
fn providers(url: &str) -> Providers {
    let providers = Providers::built_in().expect("built-in descriptors");
    let ids: Vec<_> = providers.iter().map(|provider| provider.id.to_string()).collect();
    ids.iter().fold(providers, |providers, id| {
        led_to(providers, id, |_| url.to_owned())
    })
}

/// Every host of one provider led elsewhere.
pub fn led_to(providers: Providers, id: &str, url: impl Fn(&str) -> String) -> Providers {
    let provider = providers.get(id).expect("a built-in provider");
    let hosts: BTreeMap<_, _> = provider
        .hosts
        .keys()
        .map(|host| (host.clone(), url(host)))
        .collect();
    providers.with_hosts(id, &hosts).expect("an override")
}

fn settings(folder: &TempDir, clock: &FrozenClock) -> VaultSettings {
    let path = |name: &str| folder.path().join(name);
    VaultSettings {
        url: format!("sqlite://{}", path("voxgate.db").display()),
        max_connections: 4,
        master_key_file: path("master.key"),
        migrate: true,
        journal: path("journal"),
        journal_max_bytes: 1 << 20,
        clock: Arc::new(clock.clone()),
    }
}
