//! The two ends of the measurement: `upstream` answers as a speech provider does, `load` calls it
//! through whatever stands between, `sockets` talks to it over WebSockets; both print one line of JSON.
//!
//! Both are single-threaded and do as little per call as they can, so that one core carries the
//! two of them while the proxy under test has the other to itself.

mod http;
mod load;
mod sockets;
mod upstream;

use std::process::ExitCode;

use crate::load::Plan;

const USAGE: &str = "usage: side_by_side upstream\n       side_by_side load address=HOST:PORT heads=FILE \
                     [body=FILE] [connections=N] [seconds=S | calls=N] [every_ms=N] [stagger_ms=N] [piece=BYTES]\n       \
                     side_by_side sockets address=HOST:PORT heads=FILE [connections=N] [seconds=S] [size=BYTES] \
                     [every_ms=N] [idle=true]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let (command, rest) = arguments.split_first().ok_or(USAGE)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("starting the runtime: {e}"))?;
    match command.as_str() {
        "upstream" => runtime
            .block_on(upstream::serve())
            .map_err(|e| format!("serving: {e}")),
        "load" => {
            let report = runtime.block_on(load::run(Plan::parse(rest)?))?;
            println!("{}", report.to_json());
            Ok(())
        }
        "sockets" => {
            let report = runtime.block_on(sockets::run(sockets::Plan::parse(rest)?))?;
            println!("{}", report.to_json());
            Ok(())
        }
        other => Err(format!("unknown command {other}\n{USAGE}")),
    }
}
