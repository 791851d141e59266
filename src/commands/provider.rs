//! `voxgate provider check FILE…`: lints provider descriptors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use policies::descriptor::check_file;

use super::Common;

#[derive(Subcommand)]
pub enum Verb {
    /// Lint provider descriptors
    Check(Check),
}

#[derive(Args)]
pub struct Check {
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let Verb::Check(arguments) = verb;
    arguments.common.settings()?;
    let mut wrong = false;
    for file in &arguments.files {
        let checked = std::fs::read_to_string(file)
            .map_err(|error| format!("{}: cannot read it: {error}", file.display()))
            .and_then(|text| {
                check_file(&file.display().to_string(), &text).map_err(|errors| errors.to_string())
            });
        match checked {
            Ok(provider) => println!(
                "{}: fine: {} ({}), {} endpoints",
                file.display(),
                provider.name,
                provider.id,
                provider.endpoints.len()
            ),
            Err(errors) => {
                wrong = true;
                eprintln!("{errors}");
            }
        }
    }
    Ok(if wrong {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
