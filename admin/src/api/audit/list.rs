//! `GET /audit`: the caller's record, or everyone's for operators, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use policies::vocabulary::{AuditAction, AuditEvent, ProviderId};
use vault::AuditFilter;

use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<AuditEvent>>, Problem> {
    let page = params.page()?;
    let filter = AuditFilter {
        owner: proven.recorded(&mut params)?,
        action: params.word("action", AuditAction::parse)?,
        provider: params.take("provider").map(ProviderId::new),
        from: params.from()?,
        to: params.to()?,
        cursor: page.cursor,
        limit: page.limit,
    };
    params.finish()?;
    Ok(Json(Listing::page(admin.vault.read_audit(filter).await?)))
}
