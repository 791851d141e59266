//! The host application's sign-in: signs JWTs and serves its public keys.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use http::Response;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::server::Socket;

pub const ISSUER: &str = "https://id.example.com";
pub const AUDIENCE: &str = "voxgate";

/// Serves a JWKS with the keys it signs with.
pub struct Issuer {
    pub jwks_url: String,
    published: Arc<Mutex<JwkSet>>,
    current: Mutex<(String, EncodingKey)>,
}

impl Issuer {
    pub async fn start() -> Self {
        let socket = Socket::bind(None).await;
        let jwks_url = format!("{}/jwks.json", socket.url);
        let published = Arc::new(Mutex::new(JwkSet { keys: Vec::new() }));
        let keys = published.clone();
        socket.serve(move |_| {
            let body = serde_json::to_vec(&*keys.lock().unwrap()).expect("keys that serialise");
            async move { Ok(Response::new(Body::from(body))) }
        });
        let current = Mutex::new(publish(&published, "first"));
        Self {
            jwks_url,
            published,
            current,
        }
    }

    /// Signs with a new key from now on; the old one is no longer published.
    pub fn rotate(&self, key_id: &str) {
        self.published.lock().unwrap().keys.clear();
        *self.current.lock().unwrap() = publish(&self.published, key_id);
    }

    pub fn sign(&self, claims: &Value) -> String {
        let current = self.current.lock().unwrap();
        let header = Header {
            kid: Some(current.0.clone()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &current.1).expect("sign a token")
    }
}

fn publish(published: &Mutex<JwkSet>, key_id: &str) -> (String, EncodingKey) {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("an RSA key");
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a key in PEM");
    let mut public = Jwk::from_encoding_key(&key, Algorithm::RS256).expect("its public half");
    public.common.key_id = Some(key_id.to_owned());
    published.lock().unwrap().keys.push(public);
    (key_id.to_owned(), key)
}

/// Claims of a user who is signed in for a while.
pub fn claims(user: &str) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": user, "exp": now() + 600, "iat": now()})
}

/// A token signed with a shared secret.
pub fn sign_with_secret(secret: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(secret),
    )
    .expect("sign a token")
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}
