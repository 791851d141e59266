//! Every call of the API in one table: method, path, and the scopes of which its caller needs one.
//!
//! The router is made from the table, so a call that is not in it does not exist, and one that is cannot be
//! reached without proof.

mod audit;
mod credentials;
mod me;
mod open;
mod providers;
pub mod selections;
mod tokens;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use policies::vocabulary::Scope::{
    self, CredentialsRead, CredentialsWrite, Operator, Stt, Tokens, Tts, UsageRead,
};
use serde::Serialize;

use crate::Admin;
use crate::answer::finish;
use crate::caller::{Needs, prove};
use crate::pages;

/// No body here is longer; a key has at most 4 KiB.
const BODY_MAX: usize = 64 * 1024;

/// Providers and what they offer are for whoever may use them.
const LOOKUP: &[Scope] = &[Tts, Stt, CredentialsRead];

/// The record is what operators are there to see.
const RECORD: &[Scope] = &[UsageRead, Operator];

struct Call {
    /// Below `/api/v1`.
    path: &'static str,
    needs: Needs,
    serve: MethodRouter<Arc<Admin>>,
}

fn calls() -> Vec<Call> {
    use MethodFilter as M;
    vec![
        call(M::GET, "/me", &[], me::read::handle),
        call(M::GET, "/providers", LOOKUP, providers::list::handle),
        call(
            M::GET,
            "/providers/{provider}/models",
            LOOKUP,
            providers::models::handle,
        ),
        call(
            M::GET,
            "/providers/{provider}/voices",
            LOOKUP,
            providers::voices::handle,
        ),
        call(
            M::GET,
            "/credentials",
            &[CredentialsRead],
            credentials::list::handle,
        ),
        call(
            M::GET,
            "/credentials/{provider}",
            &[CredentialsRead],
            credentials::read::handle,
        ),
        call(
            M::PUT,
            "/credentials/{provider}",
            &[CredentialsWrite],
            credentials::put::handle,
        ),
        call(
            M::DELETE,
            "/credentials/{provider}",
            &[CredentialsWrite],
            credentials::delete::handle,
        ),
        call(
            M::POST,
            "/credentials/{provider}/validate",
            &[CredentialsWrite],
            credentials::validate::handle,
        ),
        call(
            M::GET,
            "/credentials/{provider}/quota",
            &[CredentialsRead],
            credentials::quota::handle,
        ),
        call(
            M::GET,
            "/selections",
            &[CredentialsRead],
            selections::list::handle,
        ),
        call(
            M::GET,
            "/selections/{operation}",
            &[CredentialsRead],
            selections::read::handle,
        ),
        call(
            M::PUT,
            "/selections/{operation}",
            &[CredentialsWrite],
            selections::put::handle,
        ),
        call(
            M::DELETE,
            "/selections/{operation}",
            &[CredentialsWrite],
            selections::delete::handle,
        ),
        call(M::GET, "/tokens", &[Tokens], tokens::list::handle),
        call(M::POST, "/tokens", &[Tokens], tokens::create::handle),
        call(M::DELETE, "/tokens/{id}", &[Tokens], tokens::revoke::handle),
        call(M::GET, "/audit", RECORD, audit::list::handle),
        call(M::GET, "/usage", RECORD, usage::list::handle),
        call(M::GET, "/usage/summary", RECORD, usage::summary::handle),
    ]
}

fn call<H, T>(method: MethodFilter, path: &'static str, needs: &'static [Scope], handler: H) -> Call
where
    H: Handler<T, Arc<Admin>>,
    T: 'static,
{
    Call {
        path,
        needs: Needs(needs),
        serve: on(method, handler),
    }
}

/// The whole listener: the calls, behind proof, and the few paths that are open to everyone.
pub fn router(admin: Arc<Admin>) -> Router {
    let mut calls_behind_proof = Router::new();
    for call in calls() {
        let proof = from_fn_with_state((admin.clone(), call.needs), prove);
        calls_behind_proof = calls_behind_proof.route(call.path, call.serve.route_layer(proof));
    }
    Router::new()
        .nest("/api/v1", calls_behind_proof)
        .route("/", get(pages::index))
        .route("/providers/{provider}", get(pages::provider))
        .route("/selections/{operation}", get(pages::selection))
        .route("/healthz", get(open::alive))
        .route("/readyz", get(open::ready))
        .route("/metrics", get(open::metrics))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(admin.clone(), finish))
        .with_state(admin)
}

/// What every listing answers with.
#[derive(Serialize)]
pub struct Listing<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> Listing<T> {
    /// A listing that fits into one answer.
    pub fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }

    pub fn page<R: Into<T>>(page: vault::Page<R>) -> Self {
        Self {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;

    use super::*;
    use crate::harness::{House, Said};

    /// The promise of who may call what, written down apart from the table that keeps it.
    const PROMISED: &[(&str, &str)] = &[
        ("GET /me", ""),
        ("GET /providers", "tts stt credentials:read"),
        ("GET /providers/elevenlabs/models", "tts stt credentials:read"),
        ("GET /providers/elevenlabs/voices", "tts stt credentials:read"),
        ("GET /credentials", "credentials:read"),
        ("GET /credentials/elevenlabs", "credentials:read"),
        ("PUT /credentials/elevenlabs", "credentials:write"),
        ("DELETE /credentials/elevenlabs", "credentials:write"),
        ("POST /credentials/elevenlabs/validate", "credentials:write"),
        ("GET /credentials/elevenlabs/quota", "credentials:read"),
        ("GET /selections", "credentials:read"),
        ("GET /selections/tts", "credentials:read"),
        ("PUT /selections/tts", "credentials:write"),
        ("DELETE /selections/tts", "credentials:write"),
        ("GET /tokens", "tokens"),
        ("POST /tokens", "tokens"),
        ("DELETE /tokens/0194d1c8-0000-7000-8000-000000000000", "tokens"),
        ("GET /audit", "usage:read operator"),
        ("GET /usage", "usage:read operator"),
        ("GET /usage/summary", "usage:read operator"),
    ];

    async fn call(house: &House, line: &str, token: &str) -> Said {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        // A PUT or POST with an empty object is allowed or refused before it is found wanting.
        let body = if matches!(method, "PUT" | "POST") {
            "{}"
        } else {
            ""
        };
        house.call(&format!("{method} /api/v1{path}"), token, body).await
    }

    #[tokio::test]
    async fn every_call_is_refused_without_a_good_token() {
        let house = House::build().await;
        assert_eq!(PROMISED.len(), calls().len(), "the promise and the table differ");
        let made_up = format!("vxg_{}", "0".repeat(36));
        for (line, _) in PROMISED {
            for token in ["", "sk-something", made_up.as_str(), "a.b.c"] {
                let said = call(&house, line, token).await;
                said.is(401, "unauthenticated");
                assert_eq!(said.headers["www-authenticate"], "Bearer");
            }
        }
        assert!(
            house.fake.asked().is_empty(),
            "no provider hears of callers who are not proven"
        );
    }

    #[tokio::test]
    async fn each_scope_opens_the_calls_it_is_for_and_no_others() {
        let house = House::build().await;
        for scope in Scope::ALL {
            let token = house.scoped("ann", *scope).await;
            for (line, scopes) in PROMISED {
                let may = scopes.is_empty() || scopes.split(' ').any(|name| name == scope.as_str());
                let said = call(&house, line, &token).await;
                assert_eq!(
                    said.status.as_u16() != 403,
                    may,
                    "{line} with {scope}: {}",
                    said.text
                );
                assert_ne!(said.status.as_u16(), 401, "{line} with {scope}");
            }
        }
    }

    #[tokio::test]
    async fn an_expired_token_is_refused() {
        let house = House::build().await;
        let hour = chrono::TimeDelta::hours(1);
        let token = house.token_with("ann", |new| new.ttl = Some(hour)).await;
        call(&house, "GET /me", &token).await.ok();
        house.clock.advance(hour);
        call(&house, "GET /me", &token).await.is(401, "unauthenticated");
    }

    #[tokio::test]
    async fn what_the_router_refuses_is_a_problem_too() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house
            .call("GET /api/v1/nothing", &token, "")
            .await
            .is(404, "not_found");
        house.call("GET /nothing", "", "").await.is(404, "not_found");
        house
            .call("GET /api/v1/credentials/nobody", &token, "")
            .await
            .is(404, "unknown_provider");
        house
            .call("GET /api/v1/credentials/%ff", &token, "")
            .await
            .is(400, "invalid_request");
        let said = house.call("POST /api/v1/me", &token, "{}").await;
        said.is(405, "invalid_request");
        assert!(
            said.headers["allow"]
                .to_str()
                .is_ok_and(|allowed| allowed.contains("GET"))
        );
    }

    #[tokio::test]
    async fn bodies_are_json_and_at_most_64_kib() {
        let house = House::build().await;
        let token = house.token("ann").await;
        let line = "PUT /api/v1/credentials/elevenlabs";
        house
            .call(line, &token, &"x".repeat(BODY_MAX + 1))
            .await
            .is(413, "payload_too_large");
        house
            .call(line, &token, "{\"api_key\"")
            .await
            .is(400, "invalid_request");
        let request = Request::put("/api/v1/credentials/elevenlabs")
            .header("authorization", format!("bearer {token}"))
            .header("content-type", "text/plain")
            .body(Body::from("{}"))
            .expect("a request");
        house.send(request).await.is(415, "invalid_request");
    }

    #[tokio::test]
    async fn what_is_open_needs_no_token_and_says_little() {
        let house = House::build().await;
        assert_eq!(house.call("GET /healthz", "", "").await.text, "ok\n");
        assert_eq!(house.call("GET /readyz", "", "").await.text, "ok\n");
        let metrics = house.call("GET /metrics", "", "").await;
        assert!(
            metrics.text.contains("voxgate_build_info{version="),
            "{}",
            metrics.text
        );
        assert!(
            metrics.headers["content-type"]
                .to_str()
                .is_ok_and(|kind| kind.starts_with("text/plain"))
        );
    }

    #[tokio::test]
    async fn a_database_that_is_gone_is_said_so() {
        let house = House::build().await;
        let token = house.token("ann").await;
        call(&house, "GET /me", &token).await.ok();
        house.vault.clone().close().await;
        for line in [
            "GET /credentials",
            "PUT /selections/tts",
            "GET /tokens",
            "GET /usage/summary",
        ] {
            let body = if line.starts_with("PUT") {
                r#"{"provider":"azure"}"#
            } else {
                ""
            };
            let said = house.call(&line.replace(" /", " /api/v1/"), &token, body).await;
            let problem = said.is(503, "overloaded");
            assert_eq!(
                (&problem["retryable"], said.headers.contains_key("retry-after")),
                (&true.into(), true)
            );
        }
        house.call("GET /readyz", "", "").await.is(503, "overloaded");
        assert_eq!(house.call("GET /healthz", "", "").await.status, 200);
    }
}
