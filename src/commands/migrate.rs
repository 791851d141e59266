//! `voxgate migrate`: applies the database's migrations and says how many there were.

use std::process::ExitCode;

use clap::Args;
use vault::Vault;

use super::{Common, runtime};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = arguments.common.settings()?;
    let applied = runtime()?.block_on(Vault::migrate(&settings.database.url))?;
    match applied {
        0 => println!("the database is up to date"),
        n => println!("applied {n} migration(s)"),
    }
    Ok(ExitCode::SUCCESS)
}
