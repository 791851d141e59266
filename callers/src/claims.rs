//! The claims of a verified token → [`Caller`].
//!
//! A claim is named by its key, or by a dotted path into nested objects (`realm_access.roles`); a key that
//! contains dots and is there as written wins over the path. Lists are arrays of strings or one string
//! with spaces.

use chrono::{DateTime, TimeDelta, Utc};
use policies::vocabulary::{Caller, TeamId, UserId};
use serde_json::{Map, Value};

use crate::issuer::IssuerSettings;

pub type Claims = Map<String, Value>;

/// The most that OpenID Connect lets a subject have. Longer names fit into no index.
const LONGEST_NAME: usize = 255;

/// What the token says about its own validity, checked against the issuer's settings.
pub fn check(claims: &Claims, settings: &IssuerSettings, now: DateTime<Utc>) -> Result<(), &'static str> {
    if text(claims, "iss") != Some(settings.issuer.as_str()) {
        return Err("the issuer differs from the one configured");
    }
    if !list(claims.get("aud")).is_some_and(|given| given.contains(&settings.audience.as_str())) {
        return Err("it is meant for another audience");
    }
    if now >= expiry(claims)? {
        return Err("it has expired");
    }
    match claims.get("nbf").map(instant) {
        None => Ok(()),
        Some(None) => Err("nbf is not a time"),
        Some(Some(start)) if start > now + leeway(settings) => Err("it is not valid yet"),
        Some(Some(_)) => Ok(()),
    }
}

/// The caller that verified claims describe. The prefix goes before the user and before teams alike:
/// both are names of the issuer, and issuers that must not share users must not share teams either.
pub fn caller(claims: &Claims, settings: &IssuerSettings) -> Result<Caller, &'static str> {
    let user = match find(claims, &settings.user_claim) {
        Some(Value::String(user)) if is_name(user) => user,
        _ => return Err("the user claim is missing, not a string, empty, too long or not printable"),
    };
    let prefixed = |name: &str| format!("{}{name}", settings.user_prefix);
    let names = |claim: &str| list(find(claims, claim)).unwrap_or_default();
    let teams = |claim: &str| {
        let named = names(claim).into_iter();
        named
            .map(|team| is_name(team).then(|| TeamId::new(prefixed(team))))
            .collect::<Option<Vec<_>>>()
            .ok_or("the name of a team is empty, too long or not printable")
    };
    Ok(Caller {
        user: UserId::new(prefixed(user)),
        teams: teams(&settings.teams_claim)?,
        admin_of: teams(&settings.team_admin_claim)?,
        roles: names(&settings.roles_claim)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        scopes: None,
        token_id: None,
        expires_at: Some(expiry(claims)?),
    })
}

/// Whether it can be looked up and put on record: a name that no database takes would keep its bearer's calls
/// off the record, and one that no index takes would hold up everyone's.
fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control)
}

/// The end of validity, to the second: an issuer may mean a token to be short-lived.
fn expiry(claims: &Claims) -> Result<DateTime<Utc>, &'static str> {
    let end = claims.get("exp").ok_or("exp is missing")?;
    instant(end).ok_or("exp is not a time")
}

/// For clocks that differ, so that a token may be used as soon as it is issued.
fn leeway(settings: &IssuerSettings) -> TimeDelta {
    TimeDelta::from_std(settings.leeway).unwrap_or(TimeDelta::zero())
}

/// Seconds since 1970, whole or with a fraction (RFC 7519 section 2).
fn instant(value: &Value) -> Option<DateTime<Utc>> {
    match value.as_i64() {
        Some(seconds) => DateTime::from_timestamp(seconds, 0),
        None => DateTime::from_timestamp_millis((value.as_f64()? * 1000.0) as i64),
    }
}

fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

fn list(value: Option<&Value>) -> Option<Vec<&str>> {
    match value? {
        Value::String(text) => Some(text.split_whitespace().collect()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.')
        .try_fold(claims.get(first)?, |value, key| value.as_object()?.get(key))
}
