// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockctl`: asks a running tidelockd, and tells it what to do.

mod cli;
mod client;
mod exit;
mod show;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) if exit::is_broken_pipe(&error) => exit::Exit::Good.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            exit::Exit::of(&error).into()
        }
    }
}
