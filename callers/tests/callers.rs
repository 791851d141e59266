//! Who is let in and who is not: good and bad tokens of every algorithm, key sets that rotate or are down.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use callers::{Callers, CallersError, IssuerKey, IssuerSettings};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use policies::descriptor::Providers;
use policies::vocabulary::{Actor, Caller, Code, PresentedToken, Refusal, TeamId, UserId};
use rcgen::{KeyPair, RsaKeySize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;
use vault::{FrozenClock, NewToken, SystemClock, Vault, VaultSettings};

const ISSUER: &str = "https://id.example.com";

struct House {
    folder: TempDir,
    vault: Vault,
    clock: FrozenClock,
}

impl House {
    async fn new() -> Self {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let folder = tempfile::tempdir().unwrap();
        let settings = VaultSettings {
            url: format!("sqlite://{}", folder.path().join("voxgate.db").display()),
            max_connections: 2,
            master_key_file: folder.path().join("master.key"),
            migrate: true,
            journal: folder.path().join("usage.journal"),
            journal_max_bytes: 1 << 20,
            clock: Arc::new(SystemClock),
        };
        let vault = Vault::open(settings, Arc::new(Providers::built_in().unwrap()), Vec::new())
            .await
            .unwrap();
        Self {
            folder,
            vault,
            clock: FrozenClock::at(now()),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn callers(&self, issuers: Vec<IssuerSettings>) -> Result<Callers, CallersError> {
        Callers::new(
            issuers,
            self.vault.clone(),
            Handle::current(),
            Arc::new(self.clock.clone()),
        )
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn issuer(algorithms: &[&str], key: IssuerKey) -> IssuerSettings {
    IssuerSettings {
        issuer: ISSUER.into(),
        audience: "voxgate".into(),
        algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
        key,
        user_claim: "sub".into(),
        user_prefix: String::new(),
        roles_claim: "roles".into(),
        teams_claim: "teams".into(),
        team_admin_claim: "admin_of".into(),
        leeway: Duration::from_secs(30),
    }
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "voxgate", "sub": "ada", "exp": now().timestamp() + 600 })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn presented(token: &str) -> Vec<PresentedToken> {
    vec![PresentedToken::new(token)]
}

async fn ask(callers: &Callers, token: &str) -> Result<Arc<Caller>, Refusal> {
    callers.authenticate(&presented(token)).await
}

async fn refused(callers: &Callers, token: &str) -> bool {
    matches!(ask(callers, token).await, Err(refusal) if refusal.code == Code::Unauthenticated)
}

/// A key pair for one algorithm: what signs, and the public half in PEM.
struct Pair {
    algorithm: Algorithm,
    signs: EncodingKey,
    public: String,
}

impl Pair {
    fn new(algorithm: Algorithm) -> Self {
        let (made, signs): (KeyPair, fn(&[u8]) -> _) = match algorithm {
            Algorithm::ES256 => (
                KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
                EncodingKey::from_ec_pem,
            ),
            Algorithm::ES384 => (
                KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
                EncodingKey::from_ec_pem,
            ),
            Algorithm::EdDSA => (
                KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
                EncodingKey::from_ed_pem,
            ),
            _ => (
                KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
                EncodingKey::from_rsa_pem,
            ),
        };
        let signs = signs(made.serialize_pem().as_bytes()).unwrap();
        Self {
            algorithm,
            signs,
            public: made.public_key_pem(),
        }
    }

    fn jwk(&self, id: &str) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.signs, self.algorithm).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        jwk
    }

    fn token(&self, id: Option<&str>) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = id.map(str::to_owned);
        sign(&header, &claims(), &self.signs)
    }
}

#[tokio::test]
async fn every_algorithm_proves_its_caller_and_no_other_key_does() {
    let house = House::new().await;
    let public = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    for algorithm in public {
        let (ours, other) = (Pair::new(algorithm), Pair::new(algorithm));
        let path = house.file("public.pem", &ours.public);
        let name = format!("{algorithm:?}");
        let callers = house
            .callers(vec![issuer(&[&name], IssuerKey::PublicKeyFile(path))])
            .unwrap();
        assert_eq!(
            ask(&callers, &ours.token(None)).await.unwrap().user,
            UserId::new("ada"),
            "{name}"
        );
        assert!(refused(&callers, &other.token(None)).await, "{name}");
    }
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let path = house.file("secret", "0123456789abcdef0123456789abcdef\n");
        let name = format!("{algorithm:?}");
        let callers = house
            .callers(vec![issuer(&[&name], IssuerKey::SecretFile(path))])
            .unwrap();
        let token = |secret: &[u8]| {
            sign(
                &Header::new(algorithm),
                &claims(),
                &EncodingKey::from_secret(secret),
            )
        };
        assert!(
            ask(&callers, &token(b"0123456789abcdef0123456789abcdef"))
                .await
                .is_ok(),
            "{name}"
        );
        assert!(
            refused(&callers, &token(b"another-secret-another-secret-xx")).await,
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_token_does_not_choose_its_algorithm() {
    let house = House::new().await;
    let pair = Pair::new(Algorithm::RS256);
    let path = house.file("public.pem", &pair.public);
    let callers = house
        .callers(vec![issuer(&["RS256"], IssuerKey::PublicKeyFile(path.clone()))])
        .unwrap();
    // The public key, which everyone has, as an HMAC secret.
    let confused = EncodingKey::from_secret(pair.public.as_bytes());
    assert!(
        refused(
            &callers,
            &sign(&Header::new(Algorithm::HS256), &claims(), &confused)
        )
        .await
    );
    // The right key with an algorithm that is not pinned.
    assert!(
        refused(
            &callers,
            &sign(&Header::new(Algorithm::RS512), &claims(), &pair.signs)
        )
        .await
    );
    let valid = pair.token(None);
    let (_, rest) = valid.split_once('.').unwrap();
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None","typ":"JWT"}"#,
        r#"{"typ":"JWT"}"#,
        "{}",
    ] {
        use base64::Engine;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        assert!(refused(&callers, &format!("{header}.{rest}")).await, "{header}");
        let unsigned = rest.split_once('.').unwrap().0;
        assert!(
            refused(&callers, &format!("{header}.{unsigned}.")).await,
            "{header}"
        );
    }
    for (algorithms, key) in [
        (vec!["HS256"], IssuerKey::PublicKeyFile(path.clone())),
        (vec!["RS256"], IssuerKey::SecretFile(path.clone())),
        (
            vec!["RS256", "HS256"],
            IssuerKey::JwksUrl("https://id.example.com/keys".parse().unwrap()),
        ),
        (vec!["RS256", "ES256"], IssuerKey::PublicKeyFile(path.clone())),
        (vec!["none"], IssuerKey::PublicKeyFile(path.clone())),
        (vec![], IssuerKey::PublicKeyFile(path.clone())),
        (vec!["ES256"], IssuerKey::PublicKeyFile(path.clone())),
    ] {
        assert!(
            house.callers(vec![issuer(&algorithms, key)]).is_err(),
            "{algorithms:?}"
        );
    }
}

#[tokio::test]
async fn claims_are_checked_one_by_one() {
    let house = House::new().await;
    let secret = "0123456789abcdef0123456789abcdef";
    let key = IssuerKey::SecretFile(house.file("secret", secret));
    let callers = house.callers(vec![issuer(&["HS256"], key)]).unwrap();
    let signs = EncodingKey::from_secret(secret.as_bytes());
    let token = |claims: &Value| sign(&Header::new(Algorithm::HS256), claims, &signs);
    let at = |offset: i64| json!(now().timestamp() + offset);
    let good = [
        claims(),
        with("aud", json!(["other", "voxgate"])),
        with("exp", json!(now().timestamp() as f64 + 60.5)),
        with("exp", at(1)),
        with("nbf", at(20)),
        with("nbf", at(-600)),
    ];
    for claims in &good {
        assert!(ask(&callers, &token(claims)).await.is_ok(), "{claims}");
    }
    let bad = [
        without("exp"),
        without("aud"),
        without("iss"),
        without("sub"),
        with("exp", at(0)),
        with("exp", at(-1)),
        with("exp", json!("tomorrow")),
        with("exp", json!(null)),
        with("nbf", at(31)),
        with("nbf", json!("now")),
        with("aud", json!("other")),
        with("aud", json!([])),
        with("iss", json!("https://evil.example.com")),
        with("sub", json!("")),
        with("sub", json!(" ")),
        with("sub", json!(7)),
        with("sub", json!(["ada"])),
        with("sub", json!("a\u{0}da")),
        with("sub", json!("a".repeat(256))),
        with("teams", json!(["red", "bl\u{0}ue"])),
        with("admin_of", json!(["b".repeat(256)])),
    ];
    for claims in &bad {
        assert!(refused(&callers, &token(claims)).await, "{claims}");
    }
    let mut critical = Header::new(Algorithm::HS256);
    critical.crit = Some(vec!["b64".into()]);
    assert!(refused(&callers, &sign(&critical, &claims(), &signs)).await);
    for garbage in ["", "a.b.c", "..", "vxg_", "Bearer x", "{}.{}.{}"] {
        assert!(refused(&callers, garbage).await, "{garbage}");
    }
}

#[tokio::test]
async fn roles_and_teams_come_from_the_claims_that_are_named() {
    let house = House::new().await;
    let secret = "0123456789abcdef0123456789abcdef";
    let mut settings = issuer(&["HS256"], IssuerKey::SecretFile(house.file("secret", secret)));
    settings.user_prefix = "corp/".into();
    settings.roles_claim = "realm_access.roles".into();
    settings.team_admin_claim = "https://example.com/admin_of".into();
    let callers = house.callers(vec![settings]).unwrap();
    let mut claims = claims();
    claims["realm_access"] = json!({ "roles": ["operator", "viewer"] });
    claims["teams"] = json!("red blue");
    claims["https://example.com/admin_of"] = json!(["red"]);
    let key = EncodingKey::from_secret(secret.as_bytes());
    let caller = ask(&callers, &sign(&Header::new(Algorithm::HS256), &claims, &key))
        .await
        .unwrap();
    assert_eq!(caller.user, UserId::new("corp/ada"));
    assert_eq!(caller.teams, [TeamId::new("corp/red"), TeamId::new("corp/blue")]);
    assert_eq!(caller.admin_of, [TeamId::new("corp/red")]);
    assert!(caller.is_operator());
}

#[tokio::test]
async fn a_verified_token_is_known_until_it_expires_or_the_issuers_change() {
    let house = House::new().await;
    let secret = "0123456789abcdef0123456789abcdef";
    let settings = issuer(&["HS256"], IssuerKey::SecretFile(house.file("secret", secret)));
    let callers = house.callers(vec![settings.clone()]).unwrap();
    let key = EncodingKey::from_secret(secret.as_bytes());
    let token = presented(&sign(&Header::new(Algorithm::HS256), &claims(), &key));
    assert!(callers.cached(&token).is_none());
    callers.authenticate(&token).await.unwrap();
    assert!(callers.cached(&token).unwrap().is_ok());
    // The first valid one of several counts.
    let mixed = [
        presented("vxg_nothing"),
        presented("no.such.token"),
        token.clone(),
    ]
    .concat();
    assert!(callers.authenticate(&mixed).await.is_ok());
    callers.take_over(callers.prepare(vec![settings]).unwrap());
    assert!(callers.cached(&token).is_none());
    callers.authenticate(&token).await.unwrap();
    callers.take_over(callers.prepare(Vec::new()).unwrap());
    assert!(callers.authenticate(&token).await.is_err());
    assert!(
        callers.cached(&token).unwrap().is_err(),
        "a refusal is known for a moment"
    );

    let callers = house
        .callers(vec![issuer(
            &["HS256"],
            IssuerKey::SecretFile(house.file("secret", secret)),
        )])
        .unwrap();
    callers.authenticate(&token).await.unwrap();
    house.clock.advance(TimeDelta::seconds(631));
    assert!(callers.cached(&token).is_none_or(|answer| answer.is_err()));
    assert!(callers.authenticate(&token).await.is_err());
}

#[tokio::test]
async fn our_own_tokens_prove_their_user_until_revoked() {
    let house = House::new().await;
    let callers = Callers::new(
        Vec::new(),
        house.vault.clone(),
        Handle::current(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let by = Actor {
        user: Some(UserId::new("ada")),
        ip: None,
        request_id: Default::default(),
    };
    let new = NewToken {
        user: UserId::new("ada"),
        name: "laptop".into(),
        ttl: None,
        scopes: None,
        roles: vec!["operator".into()],
        teams: Vec::new(),
        admin_of: Vec::new(),
    };
    let (row, plain) = house.vault.create_token(&by, new).await.unwrap();
    let caller = ask(&callers, plain.expose()).await.unwrap();
    assert_eq!(
        (&caller.user, caller.token_id),
        (&UserId::new("ada"), Some(row.id))
    );
    assert!(callers.cached(&presented(plain.expose())).unwrap().is_ok());
    assert!(house.vault.revoke_token(&by, row.id, None).await.unwrap());
    assert!(refused(&callers, plain.expose()).await);
    assert!(callers.cached(&[]).unwrap().is_err());
}

/// An address that serves whatever key set it is told to, or is down.
struct KeyServer {
    keys: Mutex<JwkSet>,
    down: AtomicBool,
    asked: AtomicUsize,
}

impl KeyServer {
    async fn start(keys: Vec<Jwk>) -> (Arc<Self>, IssuerKey) {
        let server = Arc::new(Self {
            keys: Mutex::new(JwkSet { keys }),
            down: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        });
        let router = axum::Router::new()
            .route("/keys", get(Self::serve))
            .with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, IssuerKey::JwksUrl(url.parse().unwrap()))
    }

    async fn serve(State(server): State<Arc<Self>>) -> axum::response::Response {
        server.asked.fetch_add(1, Ordering::SeqCst);
        if server.down.load(Ordering::SeqCst) {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        serde_json::to_string(&*server.keys.lock())
            .unwrap()
            .into_response()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn key_sets_rotate_and_outlive_their_address() {
    let house = House::new().await;
    let (first, second) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let (server, key) = KeyServer::start(vec![first.jwk("one")]).await;
    let callers = house.callers(vec![issuer(&["ES256", "RS256"], key)]).unwrap();
    assert!(ask(&callers, &first.token(Some("one"))).await.is_ok());
    assert_eq!(server.asked(), 1);
    // A key that is not there is asked for at once, but not again and again.
    tokio::time::sleep(Duration::from_millis(5100)).await;
    server.keys.lock().keys = vec![first.jwk("one"), second.jwk("two")];
    assert!(ask(&callers, &second.token(Some("two"))).await.is_ok());
    assert_eq!(server.asked(), 2);
    for id in ["x", "y", "z"] {
        assert!(refused(&callers, &second.token(Some(id))).await);
    }
    assert_eq!(server.asked(), 2);
    // Without a key id every key that fits is tried.
    assert!(ask(&callers, &second.token(None)).await.is_ok());
    // One key's id does not lend it to a token signed by another.
    assert!(refused(&callers, &second.token(Some("one"))).await);
    server.down.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(5100)).await;
    let mut later = claims();
    later["jti"] = json!("later");
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("one".into());
    assert!(
        ask(&callers, &sign(&header, &later, &first.signs)).await.is_ok(),
        "the keys at hand serve on"
    );
    header.kid = Some("three".into());
    let doubtful = ask(&callers, &sign(&header, &claims(), &first.signs))
        .await
        .unwrap_err();
    assert_eq!(doubtful.code, Code::Overloaded);
    assert!(doubtful.retry_after.is_some());
}

#[tokio::test]
async fn without_any_key_set_nobody_is_refused_for_good() {
    let house = House::new().await;
    let pair = Pair::new(Algorithm::ES256);
    let (server, key) = KeyServer::start(vec![pair.jwk("one")]).await;
    server.down.store(true, Ordering::SeqCst);
    let callers = house.callers(vec![issuer(&["ES256"], key)]).unwrap();
    let token = pair.token(Some("one"));
    let all = futures_of(&callers, &token, 20).await;
    assert!(all.iter().all(|answer| {
        answer
            .as_ref()
            .is_err_and(|refusal| refusal.code == Code::Overloaded)
    }));
    assert_eq!(
        server.asked(),
        1,
        "failures back off, and concurrent fetches are one"
    );
    server.down.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(ask(&callers, &token).await.is_ok());
}

async fn futures_of(callers: &Callers, token: &str, count: usize) -> Vec<Result<Arc<Caller>, Refusal>> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (callers, token) = (callers.clone(), token.to_owned());
        tasks.spawn(async move { ask(&callers, &token).await });
    }
    tasks.join_all().await
}

#[tokio::test]
async fn a_key_set_is_not_followed_to_another_host() {
    let house = House::new().await;
    let pair = Pair::new(Algorithm::ES256);
    let (elsewhere, _) = KeyServer::start(vec![pair.jwk("one")]).await;
    let target = "http://localhost:1/keys";
    let router = axum::Router::new().route(
        "/keys",
        get(move || async move { axum::response::Redirect::temporary(target) }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let callers = house
        .callers(vec![issuer(&["ES256"], IssuerKey::JwksUrl(url.parse().unwrap()))])
        .unwrap();
    let refusal = ask(&callers, &pair.token(Some("one"))).await.unwrap_err();
    assert_eq!(refusal.code, Code::Overloaded);
    assert!(
        refusal.cause.unwrap().contains("307"),
        "the redirect was followed"
    );
    assert_eq!(elsewhere.asked(), 0);
}
