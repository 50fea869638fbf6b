// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench`: measurements, side by side in one run, as ratios.

use std::{num::NonZeroUsize, sync::Arc};

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use tidelock_archive::deb;
use tidelock_host::tools;
use tidelock_model::Tier;
use tidelock_vm::bench;

use super::options::{self, HostOptions, SourceOptions};
use crate::{
    exit::{Exit, UsageError},
    run::{
        cell,
        lab::{Lab, LabRequest, host_tools},
        runtime, sources,
    },
};

/// Measure the factory beside other tools
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Boot(Boot),
}

/// Time from nothing to the first test: the factory, bare QEMU and virtme-ng on one kernel
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench boot\n  \
                        cargo xtask bench boot --kernel '6.12*-cloud-amd64' --rounds 5")]
struct Boot {
    /// The kernel's release, or a pattern; the first that fits is taken
    #[arg(long, value_name = "GLOB", default_value = "6.1.*-amd64")]
    kernel: String,

    /// How often each is run; the median counts
    #[arg(long, value_name = "N", default_value = "3")]
    rounds: NonZeroUsize,

    #[command(flatten)]
    source: SourceOptions,

    #[command(flatten)]
    host: HostOptions,
}

impl Bench {
    pub(crate) fn run(self) -> Result<Exit> {
        match self.command {
            Command::Boot(boot) => boot.run(),
        }
    }
}

impl Boot {
    fn run(self) -> Result<Exit> {
        let root = options::checkout();
        let plans = sources::Plans::read(&root)?;
        let cells = tidelock_matrix::plan(
            &plans.matrix,
            &plans.lock,
            None,
            std::slice::from_ref(&self.kernel),
        )
        .map_err(sources::unplannable)?;
        let cell = cells
            .first()
            .ok_or_else(|| UsageError("no kernel fits".into()))?;
        let tools: Vec<_> = host_tools()
            .into_iter()
            .chain(bench::TOOLS.iter().copied())
            .collect();
        tools::require(&tools, self.host.install())?;
        let report = runtime::block_on(async {
            let dir = root.join("target/bench");
            let request = LabRequest {
                live: Arc::new(tidelock_report::Live::plain()),
                all_kernels: false,
                run_dir: dir.join(cell.kernel.release.as_str()),
                root,
                tier: Tier::Full,
                tests: Vec::new(),
                rerun: true,
            };
            let fetcher = sources::fetcher(&self.source)?;
            let lab = Arc::new(Lab::new(request, plans, fetcher, cell).await?);
            let spec = cell::ready(&lab, cell)
                .await
                .map_err(|ending| anyhow!(ending.reason))?;
            let packages = cell::image_packages(&lab, &cell.kernel);
            let virtme = tokio::task::block_in_place(|| {
                bench::virtme(&dir, &spec, &packages, deb::extract)
            })?;
            Ok(bench::bench(&lab.engine, &spec, Some(&virtme), self.rounds.get()).await?)
        })?;
        println!("{}:\n{report}", cell.kernel.release);
        Ok(Exit::Passed)
    }
}
