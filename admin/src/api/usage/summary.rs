//! `GET /usage/summary`: sums, grouped by `day`, `provider`, `model`, `operation` and `user` in any
//! combination; without `group_by` one sum over everything.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use vault::{GroupBy, PageRequest, UsageSummary};

use super::filter;
use crate::Admin;
use crate::api::Listing;
use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    mut params: Params,
) -> Result<Json<Listing<Value>>, Problem> {
    let groups = groups(&mut params)?;
    let filter = filter(&proven, &mut params, PageRequest::default())?;
    params.finish()?;
    let sums = admin.vault.summarise_usage(filter, &groups).await?;
    Ok(Json(Listing::whole(sums.into_iter().map(|sum| shown(&groups, sum)).collect())))
}

fn groups(params: &mut Params) -> Result<Vec<GroupBy>, Problem> {
    let text = params.take("group_by").unwrap_or_default();
    let mut groups = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let group = match word {
            "day" => GroupBy::Day,
            "provider" => GroupBy::Provider,
            "model" => GroupBy::Model,
            "operation" => GroupBy::Operation,
            "user" => GroupBy::User,
            _ => {
                let detail = "`group_by` lists some of day, provider, model, operation, user";
                return Err(Problem::invalid("group_by", detail));
            }
        };
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// The fields grouped by, null where a call had none (no model was named), and the sums.
fn shown(groups: &[GroupBy], sum: UsageSummary) -> Value {
    let mut shown = Map::new();
    for group in groups {
        let (name, value) = match group {
            GroupBy::Day => ("day", json!(sum.day)),
            GroupBy::Provider => ("provider", json!(sum.provider)),
            GroupBy::Model => ("model", json!(sum.model)),
            GroupBy::Operation => ("operation", json!(sum.operation)),
            GroupBy::User => ("user", json!(sum.user)),
        };
        shown.insert(name.to_owned(), value);
    }
    let sums = [
        ("calls", json!(sum.calls)),
        ("errors", json!(sum.errors)),
        ("characters", json!(sum.characters)),
        ("audio_seconds", json!(sum.audio_seconds)),
        ("estimated_cost", json!(sum.estimated_cost)),
        ("bytes_in", json!(sum.bytes_in)),
        ("bytes_out", json!(sum.bytes_out)),
    ];
    shown.extend(sums.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(shown)
}
