// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockctl mode`.

use anyhow::Result;
use clap::Args;
use tidelock_api::{ModeReport, ModeRequest, paths};

use super::status::source;
use crate::{client::Client, exit::Exit, show::put};

/// Show what happens to connections, or set it
///
/// off: nobody is asked. permissive: everybody is asked and nobody refused; what would have been
/// is counted. enforce: what is not allowed is refused. What is set here outlives the daemon, and
/// ends with the next boot or with `tidelockctl mode configured`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidelockctl mode\n  sudo tidelockctl mode permissive\n  \
                        sudo tidelockctl mode configured"
)]
pub(crate) struct Mode {
    /// off, permissive or enforce; configured: as the default file and the configuration say
    #[arg(value_parser = parse)]
    mode: Option<Wanted>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a mode is set to.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Mode(tidelock_api::Mode),
    Configured,
}

fn parse(word: &str) -> Result<Wanted, String> {
    match word {
        "configured" => Ok(Wanted::Configured),
        word => word
            .parse()
            .map(Wanted::Mode)
            .map_err(|error| format!("{error}, or configured")),
    }
}

impl Mode {
    pub(crate) fn run(self, client: &Client) -> Result<Exit> {
        let report: ModeReport = match self.mode {
            None => client.get(paths::MODE)?,
            Some(wanted) => {
                let mode = match wanted {
                    Wanted::Mode(mode) => Some(mode),
                    Wanted::Configured => None,
                };
                client.put(paths::MODE, &ModeRequest { mode })?
            }
        };
        if self.json {
            put(&format!("{}\n", serde_json::to_string(&report)?))?;
        } else {
            put(&format!("{} ({})\n", report.mode, source(report.source)))?;
        }
        Ok(Exit::Good)
    }
}
