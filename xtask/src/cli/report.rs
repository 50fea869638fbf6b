// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask report`: what comes of reports after a run.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use tidelock_host::files;
use tidelock_model::RunReport;

use super::options;
use crate::{
    exit::{Exit, UsageError},
    run::sources::Plans,
};

/// Show a report again, or write docs/compat.md from one
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub(crate) struct Report {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the summary of a run
    #[command(after_help = "Example:\n  cargo xtask report show")]
    Show(Which),
    /// Write docs/compat.md from a run of the full tier
    #[command(
        after_help = "Example:\n  cargo xtask matrix --tier full && cargo xtask report compat"
    )]
    Compat(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The run's report.json [default: the latest run's]
    #[arg(value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Report {
    pub(crate) fn run(self) -> Result<Exit> {
        let root = options::checkout();
        match self.command {
            Command::Show(which) => {
                let report = read(&root, which)?;
                print!(
                    "{}",
                    tidelock_report::summary::render(&report, tidelock_report::Paint::for_stderr())
                );
                Ok(Exit::of_status(report.status))
            }
            Command::Compat(which) => {
                let report = read(&root, which)?;
                whole(&root, &report)?;
                let text = tidelock_report::compat::render(&report);
                files::write_atomic(&root.join("docs/compat.md"), text.as_bytes())?;
                Ok(Exit::Passed)
            }
        }
    }
}

/// Refuses a report that does not tell of every test on every kernel of today's lock.
fn whole(root: &Path, report: &RunReport) -> Result<()> {
    let lacks = if report.tier != tidelock_model::Tier::Full {
        format!("was of the tier {}", report.tier)
    } else if !report.complete {
        "was of some kernels or tests alone".into()
    } else if report.lock_sha256 != Plans::read(root)?.lock_sha256 {
        "was of another matrix.lock".into()
    } else {
        return Ok(());
    };
    let text = format!(
        "docs/compat.md tells of every kernel; that run {lacks}: \
         run `cargo xtask matrix --tier full` first"
    );
    Err(UsageError(text).into())
}

fn read(root: &Path, which: Which) -> Result<RunReport> {
    let path = which
        .report
        .unwrap_or_else(|| root.join("target/matrix/latest/report.json"));
    let text = files::read(&path)?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}
