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
use policies::vocabulary::Scope::{self, CredentialsRead, CredentialsWrite, Stt, Tokens, Tts, UsageRead};
use serde::Serialize;

use crate::Admin;
use crate::answer::finish;
use crate::caller::{Needs, prove};
use crate::pages;

/// No body here is longer; a key has at most 4 KiB.
const BODY_MAX: usize = 64 * 1024;

/// Providers and what they offer are for whoever may use them.
const LOOKUP: &[Scope] = &[Tts, Stt, CredentialsRead];

pub struct Call {
    pub method: MethodFilter,
    /// Below `/api/v1`.
    pub path: &'static str,
    pub needs: Needs,
    serve: MethodRouter<Arc<Admin>>,
}

fn calls() -> Vec<Call> {
    use MethodFilter as M;
    vec![
        call(M::GET, "/me", &[], me::read::handle),
        call(M::GET, "/providers", LOOKUP, providers::list::handle),
        call(M::GET, "/providers/{provider}/models", LOOKUP, providers::models::handle),
        call(M::GET, "/providers/{provider}/voices", LOOKUP, providers::voices::handle),
        call(M::GET, "/credentials", &[CredentialsRead], credentials::list::handle),
        call(M::GET, "/credentials/{provider}", &[CredentialsRead], credentials::read::handle),
        call(M::PUT, "/credentials/{provider}", &[CredentialsWrite], credentials::put::handle),
        call(M::DELETE, "/credentials/{provider}", &[CredentialsWrite], credentials::delete::handle),
        call(M::POST, "/credentials/{provider}/validate", &[CredentialsWrite], credentials::validate::handle),
        call(M::GET, "/credentials/{provider}/quota", &[CredentialsRead], credentials::quota::handle),
        call(M::GET, "/selections", &[CredentialsRead], selections::list::handle),
        call(M::GET, "/selections/{operation}", &[CredentialsRead], selections::read::handle),
        call(M::PUT, "/selections/{operation}", &[CredentialsWrite], selections::put::handle),
        call(M::DELETE, "/selections/{operation}", &[CredentialsWrite], selections::delete::handle),
        call(M::GET, "/tokens", &[Tokens], tokens::list::handle),
        call(M::POST, "/tokens", &[Tokens], tokens::create::handle),
        call(M::DELETE, "/tokens/{id}", &[Tokens], tokens::revoke::handle),
        call(M::GET, "/audit", &[UsageRead], audit::list::handle),
        call(M::GET, "/usage", &[UsageRead], usage::list::handle),
        call(M::GET, "/usage/summary", &[UsageRead], usage::summary::handle),
    ]
}

fn call<H, T>(method: MethodFilter, path: &'static str, needs: &'static [Scope], handler: H) -> Call
where
    H: Handler<T, Arc<Admin>>,
    T: 'static,
{
    Call { method, path, needs: Needs(needs), serve: on(method, handler) }
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
        Self { items, next_cursor: None }
    }

    pub fn page<R: Into<T>>(page: vault::Page<R>) -> Self {
        Self { items: page.items.into_iter().map(Into::into).collect(), next_cursor: page.next }
    }
}
