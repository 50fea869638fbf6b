// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask shell`: one kernel, the module, and a shell.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use clap::Args;
use tidelock_host::tools;
use tidelock_model::Tier;
use tidelock_vm::{shell, spec::Event};

use super::options::{self, HostOptions, SourceOptions};
use crate::{
    exit::{Exit, UsageError},
    run::{
        cell,
        lab::{Lab, LabRequest, host_tools},
        runtime, sources,
    },
};

/// Boot a kernel with the module built for it, and give a shell in it
///
/// The module is loaded; its file is /tidelock.ko. `exit` or Ctrl-] ends the machine.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo xtask shell 6.1.0-56-amd64")]
pub(crate) struct Shell {
    /// The kernel's release, or a pattern that fits one
    cell: String,

    #[command(flatten)]
    source: SourceOptions,

    #[command(flatten)]
    host: HostOptions,
}

impl Shell {
    pub(crate) fn run(self) -> Result<Exit> {
        let root = options::checkout();
        let plans = sources::Plans::read(&root)?;
        let cells = tidelock_matrix::plan(
            &plans.matrix,
            &plans.lock,
            None,
            std::slice::from_ref(&self.cell),
        )
        .map_err(sources::unplannable)?;
        let [cell] = &cells[..] else {
            let names: Vec<&str> = cells
                .iter()
                .map(|cell| cell.kernel.release.as_str())
                .collect();
            let text = format!("{:?} fits several kernels: {}", self.cell, names.join(", "));
            return Err(UsageError(text).into());
        };
        let tools: Vec<_> = host_tools()
            .into_iter()
            .chain(shell::TOOLS.iter().copied())
            .collect();
        tools::require(&tools, self.host.install())?;
        runtime::block_on(async {
            let request = LabRequest {
                live: Arc::new(tidelock_report::Live::plain()),
                all_kernels: false,
                run_dir: root.join("target/shell").join(cell.kernel.release.as_str()),
                root,
                tier: Tier::Full,
                tests: Vec::new(),
                rerun: false,
                thorough: true,
            };
            let fetcher = sources::fetcher(&self.source)?;
            let lab = Arc::new(Lab::new(request, plans, fetcher, cell).await?);
            let spec = cell::ready(&lab, cell)
                .await
                .map_err(|ending| anyhow!(ending.reason))?;
            let tell = |event: Event<'_>| {
                if matches!(event, Event::Booting) {
                    eprintln!("booting {}; Ctrl-] ends it", cell.kernel.release);
                }
            };
            Ok(shell::shell(&lab.engine, &spec, &tell).await?)
        })?;
        Ok(Exit::Passed)
    }
}
