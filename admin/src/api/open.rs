//! What needs no proof: whether the process lives, whether it can work, and its metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use policies::vocabulary::Code;
use prometheus::{Encoder, TextEncoder};

use crate::Admin;
use crate::problem::Problem;

pub async fn alive() -> &'static str {
    "ok\n"
}

pub async fn ready(State(admin): State<Arc<Admin>>) -> Result<&'static str, Problem> {
    match admin.vault.ready().await {
        true => Ok("ok\n"),
        false => Err(Problem::new(Code::Overloaded, "the database does not answer").retry_after(Some(5))),
    }
}

pub async fn metrics(State(admin): State<Arc<Admin>>) -> Result<impl IntoResponse, Problem> {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    encoder
        .encode(&admin.registry.gather(), &mut text)
        .map_err(|error| Problem::internal(format!("writing the metrics: {error}")))?;
    Ok(([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text))
}
