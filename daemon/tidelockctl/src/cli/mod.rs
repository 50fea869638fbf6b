// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line: one module a command.

mod connections;
mod explain;
mod mode;
mod policy;
mod status;
mod texts;
mod top;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{client::Client, exit::Exit};

/// Ask a running tidelockd, and tell it what to do
#[derive(Debug, Parser)]
#[command(name = "tidelockctl", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done and good; 1 done, and the answer is bad: refused, failed, not \
                  healthy; 2 bad usage; 3 no answer: no daemon, no permission, an error of the \
                  daemon.\n\
                  Colours are shown on terminals, unless NO_COLOR is set."
)]
pub(crate) struct Cli {
    /// The daemon's socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "TIDELOCK_SOCKET",
        default_value = tidelock_api::DEFAULT_SOCKET
    )]
    socket: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Status(status::Status),
    Connections(connections::Connections),
    Explain(explain::Explain),
    Top(top::Top),
    Mode(mode::Mode),
    Policy(policy::Policy),
    Completions(texts::Completions),
    Man(texts::Man),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<Exit> {
        let client = Client::new(&self.socket);
        match self.command {
            Command::Status(command) => command.run(&client),
            Command::Connections(command) => command.run(&client),
            Command::Explain(command) => command.run(&client),
            Command::Top(command) => command.run(&client),
            Command::Mode(command) => command.run(&client),
            Command::Policy(command) => command.run(&client),
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
                return;
            }
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.contains(path.as_str()), "{path}: no example in --help");
        }
        Cli::command()
            .get_subcommands()
            .for_each(|command| check(command, "tidelockctl"));
    }
}
