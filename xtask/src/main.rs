// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The factory: builds, boots, tests and packages the module for every kernel.
//!
//! This file parses and hands over. What a command does stands in the module of its name under
//! `cli`; how a cell goes through its stages, under `run`.

mod checks;
mod cli;
mod exit;
mod run;

use clap::Parser as _;

/// The exit code of a command that was understood and not run.
const PARSED_ONLY: u8 = 77;

fn main() -> std::process::ExitCode {
    let cli = cli::Cli::parse();
    // The tests of the documents ask only whether a command is understood. Not a code of success:
    // nothing was done, and nobody may take it for a run.
    if std::env::var_os("TIDELOCK_PARSE_ONLY").is_some() {
        return std::process::ExitCode::from(PARSED_ONLY);
    }
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            exit::Exit::of(&error).into()
        }
    }
}
