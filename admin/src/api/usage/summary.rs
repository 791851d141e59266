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
    Ok(Json(Listing::whole(
        sums.into_iter().map(|sum| shown(&groups, sum)).collect(),
    )))
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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use policies::vocabulary::{
        ClosedBy, CredentialSource, Mode, Operation, Outcome, ProviderId, RecordEvent, UsageEvent, UserId,
    };
    use serde_json::{Value, json};
    use uuid::Uuid;

    use crate::harness::House;

    fn event(user: &str, provider: &str, at: &str, characters: u64, outcome: Outcome) -> RecordEvent {
        RecordEvent::Usage(Box::new(UsageEvent {
            id: Uuid::now_v7(),
            at: at.parse::<DateTime<Utc>>().expect("a time"),
            user: UserId::new(user),
            token_id: None,
            provider: ProviderId::new(provider),
            model: None,
            operation: Operation::Tts,
            mode: Mode::Native,
            credential_id: None,
            credential_source: CredentialSource::User,
            status: Some(200),
            outcome,
            bytes_in: 10,
            bytes_out: 100,
            characters: Some(characters),
            audio_seconds: None,
            estimated_cost: Some(0.5),
            ttfb_ms: Some(5),
            duration_ms: 9,
            attempt: 1,
            request_id: Uuid::now_v7(),
            provider_request_id: None,
            messages_in: None,
            messages_out: None,
            audio_seconds_in: None,
            audio_seconds_out: None,
            close_code: None,
            closed_by: None,
        }))
    }

    async fn house_with_calls() -> House {
        let house = House::build().await;
        for event in [
            event("ann", "elevenlabs", "2026-01-30T10:00:00Z", 5, Outcome::Ok),
            event("ann", "elevenlabs", "2026-01-31T01:00:00Z", 7, Outcome::Error),
            event("ann", "azure", "2026-01-31T02:00:00Z", 11, Outcome::Ok),
            event("bob", "azure", "2026-01-31T03:00:00Z", 13, Outcome::Ok),
        ] {
            house.vault.record(event);
        }
        let root = house.operator("root").await;
        for _ in 0..100 {
            let listing = house.call("GET /api/v1/usage", &root, "").await.ok();
            if listing["items"].as_array().is_some_and(|items| items.len() == 4) {
                return house;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("not in the database after five seconds");
    }

    async fn sums(house: &House, token: &str, query: &str) -> Vec<Value> {
        let listing = house
            .call(&format!("GET /api/v1/usage/summary{query}"), token, "")
            .await
            .ok();
        listing["items"].as_array().expect("items").clone()
    }

    #[tokio::test]
    async fn sums_follow_what_they_are_grouped_by() {
        let house = house_with_calls().await;
        let ann = house.token("ann").await;
        let total = sums(&house, &ann, "").await;
        assert_eq!(total.len(), 1);
        assert_eq!(
            (&total[0]["calls"], &total[0]["errors"], &total[0]["characters"]),
            (&json!(3), &json!(1), &json!(23))
        );
        let days = sums(&house, &ann, "?group_by=day,provider").await;
        let of = |day: &str, provider: &str| {
            days.iter()
                .find(|sum| sum["day"] == day && sum["provider"] == provider)
                .map(|sum| sum["characters"].clone())
        };
        assert_eq!(
            (
                days.len(),
                of("2026-01-31", "elevenlabs"),
                of("2026-01-30", "azure")
            ),
            (3, Some(json!(7)), None)
        );
        assert!(days[0].get("model").is_none(), "{days:?}");
        let mine = sums(&house, &ann, "?group_by=user&from=2026-01-31").await;
        assert_eq!(
            (mine.len(), &mine[0]["user"], &mine[0]["calls"]),
            (1, &json!("ann"), &json!(2))
        );
        let everyone = sums(&house, &house.operator("root").await, "?group_by=user").await;
        assert_eq!(everyone.len(), 2);
        let said = house
            .call("GET /api/v1/usage/summary?group_by=day,mood", &ann, "")
            .await;
        assert_eq!(said.is(400, "invalid_request")["param"], "group_by");
    }

    #[tokio::test]
    async fn the_list_is_filtered_and_paged() {
        let house = house_with_calls().await;
        let ann = house.token("ann").await;
        let first = house.call("GET /api/v1/usage?limit=2", &ann, "").await.ok();
        let cursor = first["next_cursor"].as_str().expect("a page follows").to_owned();
        let rest = house
            .call(&format!("GET /api/v1/usage?limit=2&cursor={cursor}"), &ann, "")
            .await
            .ok();
        let count = |page: &Value| page["items"].as_array().map(Vec::len);
        assert_eq!(
            (count(&first), count(&rest), &rest["next_cursor"]),
            (Some(2), Some(1), &json!(null))
        );
        assert_eq!(first["items"][0]["at"], "2026-01-31T02:00:00Z", "newest first");
        let azure = house
            .call("GET /api/v1/usage?provider=azure&operation=tts", &ann, "")
            .await
            .ok();
        assert_eq!(count(&azure), Some(1));
        house
            .call("GET /api/v1/usage?owner=bob", &ann, "")
            .await
            .is(403, "forbidden");
        house
            .call("GET /api/v1/usage?operation=sing", &ann, "")
            .await
            .is(400, "invalid_request");
    }

    #[tokio::test]
    async fn the_list_tells_a_websocket_from_a_call() {
        let house = house_with_calls().await;
        let at = "2026-01-29T10:00:00Z";
        let RecordEvent::Usage(mut socket) = event("cem", "azure", at, 5, Outcome::Interrupted) else {
            panic!("it is a usage event");
        };
        (socket.messages_in, socket.messages_out) = (Some(3), Some(40));
        (socket.audio_seconds_in, socket.audio_seconds_out) = (Some(1.5), Some(2.25));
        house.vault.record(RecordEvent::Usage(socket.clone()));
        socket.duration_ms += 1;
        (socket.close_code, socket.closed_by) = (Some(1000), Some(ClosedBy::Provider));
        house.vault.record(RecordEvent::Usage(socket));
        let cem = house.token("cem").await;
        let mut listing = Value::Null;
        for _ in 0..100 {
            listing = house.call("GET /api/v1/usage", &cem, "").await.ok();
            if listing["items"][0]["closed_by"] == "provider" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let record = &listing["items"][0];
        let names = [
            "messages_in",
            "messages_out",
            "audio_seconds_in",
            "audio_seconds_out",
            "close_code",
            "closed_by",
        ];
        assert_eq!(
            names.map(|name| record[name].clone()),
            [
                json!(3),
                json!(40),
                json!(1.5),
                json!(2.25),
                json!(1000),
                json!("provider")
            ]
        );
        assert_eq!(sums(&house, &cem, "").await[0]["calls"], 1);
        let ann = house.token("ann").await;
        let call = house.call("GET /api/v1/usage?limit=1", &ann, "").await.ok();
        assert!(
            names
                .iter()
                .all(|name| call["items"][0].get(name) == Some(&Value::Null))
        );
    }
}
