//! `POST /tokens`: a new token of the caller's, shown this once.
//!
//! It carries the roles and teams that the caller has now, and never a scope that the caller lacks: asked for
//! without scopes it gets the caller's, which may be "all that its user may do". Made with another token it ends
//! no later than that one: what leaks for an hour must not be turned into what lasts. What a sign-in later
//! takes from the user, an existing token keeps until it is revoked or expires.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use policies::vocabulary::{Caller, Code, Scope, Scopes};
use serde::{Deserialize, Serialize};
use vault::NewToken;

use super::Shown;
use crate::Admin;
use crate::caller::Proven;
use crate::params::{Given, Params};
use crate::problem::Problem;

const NAME_MAX: usize = 100;
/// Ten years; whoever wants longer leaves the time out.
const TTL_MAX: i64 = 10 * 366 * 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    #[serde(default)]
    name: String,
    ttl_seconds: Option<i64>,
    scopes: Option<Vec<Scope>>,
}

#[derive(Serialize)]
pub struct Created {
    #[serde(flatten)]
    row: Shown,
    token: String,
}

pub async fn handle(
    State(admin): State<Arc<Admin>>,
    proven: Proven,
    params: Params,
    Given(create): Given<Create>,
) -> Result<(StatusCode, Json<Created>), Problem> {
    params.finish()?;
    let caller = &proven.caller;
    let new = NewToken {
        user: caller.user.clone(),
        name: name(create.name)?,
        ttl: within(caller, ttl(create.ttl_seconds)?, admin.clock.now()),
        scopes: scopes(caller, create.scopes)?,
        roles: caller.roles.clone(),
        teams: caller.teams.clone(),
        admin_of: caller.admin_of.clone(),
    };
    let (row, token) = admin.vault.create_token(&proven.actor, new).await?;
    Ok((
        StatusCode::CREATED,
        Json(Created {
            row: row.into(),
            token: token.expose().to_owned(),
        }),
    ))
}

fn name(given: String) -> Result<String, Problem> {
    let name = given.trim();
    if name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        let detail = format!("`name` is at most {NAME_MAX} printable characters");
        return Err(Problem::invalid("name", detail));
    }
    Ok(name.to_owned())
}

fn ttl(seconds: Option<i64>) -> Result<Option<TimeDelta>, Problem> {
    match seconds {
        None => Ok(None),
        Some(seconds @ 1..=TTL_MAX) => Ok(Some(TimeDelta::seconds(seconds))),
        Some(_) => {
            let detail = format!("`ttl_seconds` is from 1 to {TTL_MAX}, or null for no end");
            Err(Problem::invalid("ttl_seconds", detail))
        }
    }
}

/// The time asked for, cut to what the caller's own token has left. A sign-in is short-lived by nature, and making
/// tokens that outlive it is what it is for.
fn within(caller: &Caller, asked: Option<TimeDelta>, now: DateTime<Utc>) -> Option<TimeDelta> {
    let left = caller.token_id.and(caller.expires_at).map(|end| end - now);
    asked.into_iter().chain(left).min()
}

fn scopes(caller: &Caller, asked: Option<Vec<Scope>>) -> Result<Option<Vec<Scope>>, Problem> {
    // A token without any may do what its maker's may.
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(caller.scopes.map(Scopes::list));
    };
    match asked.iter().find(|scope| !caller.may(**scope)) {
        Some(scope) => {
            let detail = format!("your own token lacks scope {scope}, so it cannot pass it on");
            Err(Problem::new(Code::Forbidden, detail).param("scopes"))
        }
        None => Ok(Some(Scopes::of(&asked).list())),
    }
}

#[cfg(test)]
mod tests {
    use policies::vocabulary::Scope;
    use serde_json::json;

    use crate::harness::House;

    const TOKENS: &str = "POST /api/v1/tokens";

    #[tokio::test]
    async fn a_token_is_shown_once_works_and_can_be_revoked() {
        let house = House::build().await;
        let mine = house.token("ann").await;
        let said = house
            .call(
                TOKENS,
                &mine,
                r#"{"name":" laptop ","ttl_seconds":3600,"scopes":["tts","tts"]}"#,
            )
            .await;
        assert_eq!(said.status, 201, "{}", said.text);
        let made = said.json();
        assert_eq!(
            (&made["name"], &made["scopes"]),
            (&json!("laptop"), &json!(["tts"]))
        );
        assert_eq!(
            (&made["created_at"], &made["expires_at"]),
            (&json!("2026-01-31T08:00:00Z"), &json!("2026-01-31T09:00:00Z"))
        );
        let token = made["token"].as_str().expect("shown").to_owned();
        assert!(token.starts_with(made["prefix"].as_str().expect("a prefix")));
        assert_eq!(house.call("GET /api/v1/me", &token, "").await.ok()["user"], "ann");

        let listed = house.call("GET /api/v1/tokens", &mine, "").await;
        assert!(!listed.text.contains(&token), "the whole token is listed");
        assert!(
            listed.json()["items"]
                .as_array()
                .is_some_and(|items| items.iter().any(|item| item["id"] == made["id"]))
        );

        let line = format!("DELETE /api/v1/tokens/{}", made["id"].as_str().expect("an id"));
        house
            .call(&line, &house.token("bob").await, "")
            .await
            .is(404, "not_found");
        assert_eq!(house.call(&line, &mine, "").await.status, 204);
        house.call(&line, &mine, "").await.is(404, "not_found");
        house
            .call("GET /api/v1/me", &token, "")
            .await
            .is(401, "unauthenticated");
        house
            .call("DELETE /api/v1/tokens/not-an-id", &mine, "")
            .await
            .is(404, "not_found");
    }

    #[tokio::test]
    async fn nobody_passes_on_more_than_they_have() {
        let house = House::build().await;
        let narrow = house.scoped("ann", Scope::Tokens).await;
        for scopes in [r#"["tts"]"#, r#"["tokens","operator"]"#] {
            let body = format!("{{\"scopes\":{scopes}}}");
            assert_eq!(
                house.call(TOKENS, &narrow, &body).await.is(403, "forbidden")["param"],
                "scopes"
            );
        }
        for none in ["{}", r#"{"scopes":[]}"#, r#"{"scopes":null}"#] {
            let made = house.call(TOKENS, &narrow, none).await.ok();
            assert_eq!(
                made["scopes"],
                json!(["tokens"]),
                "no scopes asked for is not all scopes: {none}"
            );
        }
        let plain = house
            .call(TOKENS, &house.member("bob", "red", true).await, "{}")
            .await
            .ok();
        let me = house
            .call("GET /api/v1/me", plain["token"].as_str().expect("shown"), "")
            .await
            .ok();
        assert_eq!(
            (&me["scopes"], &me["roles"], &me["teams"]),
            (&json!(null), &json!([]), &json!(["red"]))
        );
        assert_eq!(me["operator"], false);
    }

    #[tokio::test]
    async fn a_token_without_the_operator_scope_does_not_make_operators() {
        let house = House::build().await;
        let narrow = house
            .token_with("root", |new| {
                new.roles = vec!["operator".to_owned()];
                new.scopes = Some(vec![Scope::Tokens, Scope::UsageRead]);
            })
            .await;
        let made = house.call(TOKENS, &narrow, "{}").await.ok();
        let me = house
            .call("GET /api/v1/me", made["token"].as_str().expect("shown"), "")
            .await
            .ok();
        assert_eq!(me["operator"], false);
    }

    #[tokio::test]
    async fn a_token_makes_none_that_outlive_it() {
        let house = House::build().await;
        let hour = house
            .token_with("ann", |new| new.ttl = Some(chrono::TimeDelta::hours(1)))
            .await;
        for (body, end) in [
            ("{}", "2026-01-31T09:00:00Z"),
            (r#"{"ttl_seconds":86400}"#, "2026-01-31T09:00:00Z"),
            (r#"{"ttl_seconds":60}"#, "2026-01-31T08:01:00Z"),
        ] {
            assert_eq!(
                house.call(TOKENS, &hour, body).await.ok()["expires_at"],
                end,
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn fields_out_of_range_are_named() {
        let house = House::build().await;
        let token = house.token("ann").await;
        let name = format!(r#"{{"name":"{}"}}"#, "x".repeat(101));
        let table = [
            (name.as_str(), "name"),
            (r#"{"name":"a\u0007"}"#, "name"),
            (r#"{"ttl_seconds":0}"#, "ttl_seconds"),
            (r#"{"ttl_seconds":-5}"#, "ttl_seconds"),
            (r#"{"ttl_seconds":99999999999}"#, "ttl_seconds"),
            (r#"{"ttl_seconds":"30d"}"#, "ttl_seconds"),
            (r#"{"scopes":["everything"]}"#, "scopes[0]"),
            (r#"{"roles":["operator"]}"#, "roles"),
        ];
        for (body, param) in table {
            let problem = house.call(TOKENS, &token, body).await.is(400, "invalid_request");
            assert_eq!(problem["param"], param, "{body}: {problem}");
        }
    }
}
