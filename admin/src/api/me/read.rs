//! `GET /me`: who I am.

use axum::Json;
use chrono::{DateTime, Utc};
use policies::vocabulary::{Scope, Scopes, TeamId, TokenId, UserId};
use serde::Serialize;

use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

#[derive(Serialize)]
pub struct Me {
    user: UserId,
    roles: Vec<String>,
    teams: Vec<TeamId>,
    admin_of: Vec<TeamId>,
    /// Has the role and a token that does not exclude it.
    operator: bool,
    /// Null: whatever the user may.
    scopes: Option<Vec<Scope>>,
    /// Null for a JWT.
    token_id: Option<TokenId>,
    expires_at: Option<DateTime<Utc>>,
}

pub async fn handle(proven: Proven, params: Params) -> Result<Json<Me>, Problem> {
    params.finish()?;
    let caller = &proven.caller;
    Ok(Json(Me {
        user: caller.user.clone(),
        roles: caller.roles.clone(),
        teams: caller.teams.clone(),
        admin_of: caller.admin_of.clone(),
        operator: caller.is_operator(),
        scopes: caller.scopes.map(Scopes::list),
        token_id: caller.token_id,
        expires_at: caller.expires_at,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::harness::House;

    #[tokio::test]
    async fn says_who_is_calling_and_what_the_token_allows() {
        let house = House::build().await;
        let me = house
            .call("GET /api/v1/me", &house.member("ann", "red", true).await, "")
            .await
            .ok();
        assert_eq!(
            (&me["user"], &me["teams"], &me["admin_of"]),
            (&json!("ann"), &json!(["red"]), &json!(["red"]))
        );
        assert_eq!((&me["operator"], &me["scopes"]), (&json!(false), &json!(null)));
        let me = house
            .call("GET /api/v1/me", &house.operator("root").await, "")
            .await
            .ok();
        assert_eq!(
            (&me["operator"], &me["roles"]),
            (&json!(true), &json!(["operator"]))
        );
    }
}
