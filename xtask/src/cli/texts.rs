// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask completions` and `cargo xtask man`: texts made from the one definition of the
//! command line.

use std::{io, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};
use tidelock_host::files;

use super::Cli;
use crate::exit::Exit;

/// Write a shell's completions to standard output
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cargo xtask completions bash > ~/.local/share/bash-completion/completions/xtask"
)]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    #[expect(clippy::unnecessary_wraps, reason = "as every command's")]
    pub(crate) fn run(self) -> Result<Exit> {
        clap_complete::generate(self.shell, &mut Cli::command(), "xtask", &mut io::stdout());
        Ok(Exit::Passed)
    }
}

/// Write the man pages, one a command, into a folder
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cargo xtask man target/man && man target/man/cargo-xtask-matrix.1"
)]
pub(crate) struct Man {
    /// The folder
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Result<Exit> {
        let mut root = Cli::command().name("cargo-xtask").bin_name("cargo-xtask");
        root.build();
        self.write(&root, "cargo-xtask")?;
        Ok(Exit::Passed)
    }

    fn write(&self, command: &clap::Command, name: &str) -> Result<()> {
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone())
            .title(name)
            .render(&mut page)
            .with_context(|| format!("rendering the page of {name}"))?;
        files::write_atomic(&self.dir.join(format!("{name}.1")), &page)?;
        command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
            .try_for_each(|sub| self.write(sub, &format!("{name}-{}", sub.get_name())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command() {
        let dir = tempfile::tempdir().unwrap();
        Man {
            dir: dir.path().into(),
        }
        .run()
        .unwrap();
        let page = |name: &str| files::read_text(&dir.path().join(name)).unwrap();
        assert!(page("cargo-xtask-matrix.1").contains("tier"));
        assert!(page("cargo-xtask-kernels-lock.1").contains("matrix.lock"));
    }
}
