// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockctl completions` and `tidelockctl man`: texts made from the one definition of the
//! command line.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};

use super::Cli;
use crate::{exit::Exit, show::put};

/// Write a shell's completions to standard output
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidelockctl completions bash \
                        > /usr/share/bash-completion/completions/tidelockctl")]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Exit> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tidelockctl", &mut text);
        put(&String::from_utf8(text)?)?;
        Ok(Exit::Good)
    }
}

/// Write the man pages, one a command, into a folder
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidelockctl man target/man && man target/man/tidelockctl.1")]
pub(crate) struct Man {
    /// The folder
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Result<Exit> {
        let mut root = Cli::command();
        root.build();
        write(&self.dir, &root, "tidelockctl")?;
        Ok(Exit::Good)
    }
}

fn write(dir: &Path, command: &clap::Command, name: &str) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let path = dir.join(format!("{name}.1"));
    let mut file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    clap_mangen::Man::new(command.clone())
        .title(name)
        .render(&mut file)
        .with_context(|| path.display().to_string())?;
    command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
        .try_for_each(|sub| write(dir, sub, &format!("{name}-{}", sub.get_name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command() {
        let dir = tempfile::tempdir().unwrap();
        let man = Man {
            dir: dir.path().into(),
        };
        man.run().unwrap();
        let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(page("tidelockctl-explain.1").contains("attested"));
        assert!(page("tidelockctl-policy-rollback.1").contains("rollback"));
    }
}
