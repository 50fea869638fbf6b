// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser};
use tidelock_api::Mode;
use tracing::Level;

use crate::{config::Source, device::Place};

/// Answer the kernel: which process may have which connection
///
/// Opens /dev/tidelock, attests each process that the module asks about, decides by policy, and
/// puts mode and policy in force. Without any configuration it uses the policy that is built in,
/// which refuses what it does not know. It keeps running while the module is not loaded, and
/// starts answering when it is.
///
/// Whether connections are refused is a matter of the mode: `enforce` refuses, `permissive` only
/// tells, `off` does not ask. In this order it is what an administrator has set by
/// `tidelockctl mode`, what --mode or TIDELOCK_MODE says (the default file, which the package
/// ships as /etc/default/tidelockd), what the configuration says, and `enforce`.
#[derive(Clone, Debug, Parser)]
#[command(name = "tidelockd", version, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    tidelockd --check-config\n  \
    tidelockd --config ./tidelockd.toml --mode permissive\n  \
    tidelockd --completions bash > /usr/share/bash-completion/completions/tidelockd\n  \
    tidelockd --man > /usr/share/man/man8/tidelockd.8\n\n\
    Signals: HUP reads configuration and policy again, TERM and INT stop once what was asked is \
    answered.\n\
    Exit codes: 0 stopped as asked, or the configuration is good; 1 failed; 2 bad usage or \
    configuration.\n\
    See tidelockctl(1) for what to ask a running daemon, and docs/daemon.md for the \
    configuration.")]
pub struct Cli {
    /// The configuration; it must be there when it is named [default:
    /// /etc/tidelock/tidelockd.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Read the configuration, say what is wrong with it, and end
    #[arg(long)]
    pub check_config: bool,

    /// off, permissive or enforce: takes precedence over the configuration
    #[arg(long, value_name = "MODE", env = "TIDELOCK_MODE")]
    pub mode: Option<Mode>,

    /// How much to tell: error, warn, info, debug or trace
    #[arg(
        long,
        value_name = "LEVEL",
        env = "TIDELOCK_LOG",
        default_value = "info"
    )]
    pub log: Level,

    /// Write a shell's completions to standard output, and end
    #[arg(long, value_name = "SHELL")]
    pub completions: Option<clap_complete::Shell>,

    /// Write the man page to standard output, and end
    #[arg(long, conflicts_with = "completions")]
    pub man: bool,

    /// For tests: speak with whoever listens on this Unix socket in the module's place. Guards
    /// nothing
    #[arg(long, value_name = "SOCKET", hide = true)]
    fake_device: Option<PathBuf>,
}

impl Cli {
    /// The text that was asked for instead of a daemon; none where a daemon was.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn text(&self) -> std::io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let mut command = Self::command();
        if let Some(shell) = self.completions {
            clap_complete::generate(shell, &mut command, "tidelockd", &mut text);
        } else if self.man {
            let page = clap_mangen::Man::new(command).title("tidelockd");
            page.section("8").render(&mut text)?;
        } else {
            return Ok(None);
        }
        Ok(Some(text))
    }

    /// Where the configuration is.
    pub fn source(&self) -> Source {
        match &self.config {
            Some(path) => Source::Named(path.clone()),
            None => Source::Implicit,
        }
    }

    /// Where the device is, when it is `configured` there.
    pub fn place(&self, configured: PathBuf) -> Place {
        match &self.fake_device {
            Some(path) => Place::Fake(path.clone()),
            None => Place::Device(configured),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_holds() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for word in ["enforce", "TIDELOCK_MODE", "Exit codes", "--check-config"] {
            assert!(help.contains(word), "{word}: {help}");
        }
        assert!(!help.contains("fake"), "{help}");
    }

    #[test]
    fn texts_are_made_of_the_one_definition() {
        let text = |words: &[&str]| {
            let cli = Cli::parse_from(std::iter::once(&"tidelockd").chain(words));
            cli.text()
                .unwrap()
                .map(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(text(&[]), None);
        let page = text(&["--man"]).unwrap();
        assert!(page.contains(".TH tidelockd 8"), "{page}");
        for shell in ["bash", "zsh", "fish"] {
            let text = text(&["--completions", shell]).unwrap();
            assert!(text.contains("check-config"), "{text}");
        }
    }
}
