//! `voxgate keys rotate`: a new master key becomes current and every credential is rewrapped, while a server runs.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Common, operator_at_the_machine, runtime};
use crate::wiring;

#[derive(Subcommand)]
pub enum Verb {
    /// Make a new master key current and rewrap every credential, online
    Rotate(Rotate),
}

#[derive(Args)]
pub struct Rotate {
    #[command(flatten)]
    common: Common,
}

pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let Verb::Rotate(arguments) = verb;
    runtime()?.block_on(rotate(arguments))
}

async fn rotate(arguments: Rotate) -> anyhow::Result<ExitCode> {
    let settings = arguments.common.settings()?;
    let vault = wiring::open_vault_for_a_command(&settings).await?;
    let rotated = vault
        .rotate(&operator_at_the_machine())
        .await
        .context("rotate the master key");
    let report = wiring::closing(vault, rotated).await?;
    if report.resumed {
        println!("finished an interrupted rotation");
    }
    println!(
        "master key {} is current in {}",
        report.current,
        settings.vault.master_key_file.display()
    );
    println!("rewrapped {} credential(s)", report.rewrapped);
    if !report.retired.is_empty() {
        println!("took out of the file, unused: {}", report.retired.join(", "));
    }
    for (id, credentials) in &report.kept {
        println!("kept {id}: {credentials} credential(s) still need it");
    }
    for finding in &report.failed {
        eprintln!(
            "voxgate: {} {} of {}: {}",
            finding.provider, finding.id, finding.owner, finding.what
        );
    }
    Ok(if report.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
