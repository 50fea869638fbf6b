// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line: one module a command.

mod abi;
mod bench;

mod kernels;
mod matrix;
pub(crate) mod options;
mod report;
mod shell;
mod test;
mod texts;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::exit::Exit;

/// The factory of Tidelock: takes stock kernels from their archive to verdicts.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 all passed, 1 something failed, 2 bad usage, \
                        3 infrastructure error, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Matrix(matrix::Matrix),
    Kernels(kernels::Kernels),
    Test(test::Test),
    Shell(shell::Shell),
    Abi(abi::Abi),
    Report(report::Report),
    Bench(bench::Bench),
    Completions(texts::Completions),
    Man(texts::Man),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<Exit> {
        match self.command {
            Command::Matrix(command) => command.run(),
            Command::Kernels(command) => command.run(),
            Command::Test(command) => command.run(),
            Command::Shell(command) => command.run(),
            Command::Abi(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for_and_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path}: no description");
            if command.has_subcommands() {
                command.get_subcommands().for_each(|sub| check(sub, &path));
            } else {
                let help = command
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(help.contains("cargo xtask"), "{path}: no example in --help");
            }
        }
        Cli::command()
            .get_subcommands()
            .for_each(|command| check(command, "cargo xtask"));
    }
}
