//! The command line: one file per command, each a function from its arguments to an exit code.

mod check;
mod keys;
mod migrate;
mod provider;
mod serve;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use policies::vocabulary::{Actor, UserId};
use uuid::Uuid;

use crate::settings::Settings;

/// A gateway that lets people bring their own speech providers.
#[derive(Parser)]
#[command(name = "voxgate", version, about, propagate_version = true)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the gateway and the admin listener
    Serve(serve::Arguments),
    /// Read configuration, provider files, database and master key, and say what is wrong
    Check(check::Arguments),
    /// Apply the database's migrations
    Migrate(migrate::Arguments),
    /// Create, list and revoke access tokens
    #[command(subcommand)]
    Token(token::Verb),
    /// Master keys
    #[command(subcommand)]
    Keys(keys::Verb),
    /// Provider descriptors
    #[command(subcommand)]
    Provider(provider::Verb),
}

/// What every command takes.
#[derive(Args)]
struct Common {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "VOXGATE_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command.verb {
        Verb::Serve(arguments) => serve::run(arguments),
        Verb::Check(arguments) => check::run(arguments),
        Verb::Migrate(arguments) => migrate::run(arguments),
        Verb::Token(verb) => token::run(verb),
        Verb::Keys(verb) => keys::run(verb),
        Verb::Provider(verb) => provider::run(verb),
    }
}

impl Common {
    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings::read(self.config.as_deref())?)
    }
}

/// Who audit records name when someone at the machine runs a command.
fn operator_at_the_machine() -> Actor {
    Actor {
        user: Some(UserId::new("voxgate-cli")),
        ip: None,
        request_id: Uuid::now_v7(),
    }
}

/// The runtime of a command that runs and ends.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
