//! `voxgate token create|list|revoke`: access tokens from the command line.

use std::process::ExitCode;

use anyhow::Context;
use chrono::TimeDelta;
use clap::{Args, Subcommand};
use policies::vocabulary::{Scope, UserId};
use serde_json::json;
use uuid::Uuid;
use vault::{NewToken, PageRequest, TokenRow};

use super::{Common, Format, operator_at_the_machine, runtime};
use crate::wiring;

/// As long as the admin API allows.
const TTL_MAX: TimeDelta = TimeDelta::days(3_660);

#[derive(Subcommand)]
pub enum Verb {
    /// Create a token and print it, once
    Create(Create),
    /// List a user's tokens
    List(List),
    /// Revoke a token
    Revoke(Revoke),
}

#[derive(Args)]
pub struct Create {
    /// The user the token acts for
    #[arg(long, value_parser = user)]
    user: UserId,
    /// What the token is for
    #[arg(long, default_value = "command line")]
    name: String,
    /// How long it lives, such as 12h or 30d; for ever when absent
    #[arg(long, value_parser = ttl)]
    ttl: Option<TimeDelta>,
    /// A role such as `operator`; may be given again
    #[arg(long = "role")]
    roles: Vec<String>,
    /// What it may do, such as `tts`; may be given again; all that its user may when absent
    #[arg(long = "scope", value_parser = scope)]
    scopes: Vec<Scope>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub struct List {
    #[arg(long, value_parser = user)]
    user: UserId,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub struct Revoke {
    /// The token's id, as `token list` shows it
    id: Uuid,
    #[command(flatten)]
    common: Common,
}

/// A name as JWTs may give it too.
fn user(text: &str) -> Result<UserId, String> {
    let is_name = !text.trim().is_empty() && text.len() <= 255 && !text.contains(char::is_control);
    is_name
        .then(|| UserId::new(text))
        .ok_or_else(|| "a user has a name of at most 255 printable bytes".to_owned())
}

fn ttl(text: &str) -> Result<TimeDelta, String> {
    let given = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match TimeDelta::from_std(given) {
        Ok(ttl) if ttl >= TimeDelta::seconds(1) && ttl <= TTL_MAX => Ok(ttl),
        _ => Err("a token lives for one second to ten years".to_owned()),
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| {
        let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        format!("a scope is one of {}", known.join(", "))
    })
}

pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match verb {
            Verb::Create(arguments) => create(arguments).await,
            Verb::List(arguments) => list(arguments).await,
            Verb::Revoke(arguments) => revoke(arguments).await,
        }
    })
}

async fn create(arguments: Create) -> anyhow::Result<ExitCode> {
    let vault = wiring::open_vault_for_a_command(&arguments.common.settings()?).await?;
    let new = NewToken {
        user: arguments.user,
        name: arguments.name,
        ttl: arguments.ttl,
        scopes: (!arguments.scopes.is_empty()).then_some(arguments.scopes),
        roles: arguments.roles,
        teams: Vec::new(),
        admin_of: Vec::new(),
    };
    let created = vault
        .create_token(&operator_at_the_machine(), new)
        .await
        .context("create the token");
    let (row, token) = wiring::closing(vault, created).await?;
    match arguments.format {
        Format::Text => println!("{}", token.expose()),
        Format::Json => println!(
            "{}",
            json!({ "token": token.expose(), "id": row.id, "expires_at": row.expires_at })
        ),
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(arguments: List) -> anyhow::Result<ExitCode> {
    let vault = wiring::open_vault_for_a_command(&arguments.common.settings()?).await?;
    let read = all_tokens(&vault, &arguments.user).await;
    let rows = wiring::closing(vault, read).await?;
    match arguments.format {
        Format::Json => println!(
            "{}",
            serde_json::to_string_pretty(
                &json!({ "items": rows.iter().map(shown).collect::<Vec<_>>(), "next_cursor": null })
            )?
        ),
        Format::Text => {
            for row in &rows {
                let scopes = row
                    .scopes
                    .as_ref()
                    .map_or_else(|| "all".to_owned(), |scopes| words(scopes));
                let expires = row
                    .expires_at
                    .map_or_else(|| "never".to_owned(), |at| at.to_rfc3339());
                println!(
                    "{}  {}…  {}  scopes: {scopes}  expires: {expires}",
                    row.id, row.prefix, row.name
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn all_tokens(vault: &vault::Vault, user: &UserId) -> anyhow::Result<Vec<TokenRow>> {
    let mut rows = Vec::new();
    let mut request = PageRequest {
        cursor: None,
        limit: 200,
    };
    loop {
        let page = vault
            .list_tokens(&operator_at_the_machine(), user, request)
            .await
            .context("list the tokens")?;
        rows.extend(page.items);
        match page.next {
            Some(cursor) => {
                request = PageRequest {
                    cursor: Some(cursor),
                    limit: 200,
                }
            }
            None => return Ok(rows),
        }
    }
}

fn shown(row: &TokenRow) -> serde_json::Value {
    json!({
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes,
        "roles": row.roles,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
    })
}

fn words(scopes: &[Scope]) -> String {
    scopes
        .iter()
        .map(|scope| scope.as_str())
        .collect::<Vec<_>>()
        .join(",")
}

async fn revoke(arguments: Revoke) -> anyhow::Result<ExitCode> {
    let vault = wiring::open_vault_for_a_command(&arguments.common.settings()?).await?;
    let revoked = vault
        .revoke_token(&operator_at_the_machine(), arguments.id, None)
        .await
        .context("revoke the token");
    if matches!(revoked, Ok(true)) {
        vault.let_others_notice().await;
    }
    if wiring::closing(vault, revoked).await? {
        println!("revoked {}", arguments.id);
        Ok(ExitCode::SUCCESS)
    } else {
        eprintln!(
            "voxgate: there is no token {} that could be revoked",
            arguments.id
        );
        Ok(ExitCode::FAILURE)
    }
}
