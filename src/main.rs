//! The `voxgate` program: reads the command line and runs one command.
//!
//! Exit codes: 0 fine, 1 a command found a problem, 2 wrong usage.

mod commands;
mod log;
mod settings;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before any connector, listener or client exists, so that one TLS provider serves them all. It fails
    // only when one is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match commands::run(commands::Command::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("voxgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
