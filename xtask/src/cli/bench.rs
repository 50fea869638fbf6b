// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench`: measurements, side by side in one run, as ratios.

mod connect;
mod ratios;

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use tidelock_archive::deb;
use tidelock_host::tools::{self, Tool};
use tidelock_matrix::Cell;
use tidelock_model::Tier;
use tidelock_vm::{bench, spec::CellSpec};

use super::options::{self, HostOptions, SourceOptions};
use crate::{
    exit::{Exit, UsageError},
    run::{
        cell,
        lab::{Lab, LabRequest, host_tools},
        runtime, sources,
    },
};

/// Measure the factory beside other tools, and the module beside the plain kernel
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Boot(Boot),
    Connect(connect::Connect),
}

/// Time from nothing to the first test: the factory, bare QEMU and virtme-ng on one kernel
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench boot\n  \
                        cargo xtask bench boot --kernel '6.12*-cloud-amd64' --rounds 5")]
struct Boot {
    /// How often each is run; the median counts
    #[arg(long, value_name = "N", default_value = "3")]
    rounds: NonZeroUsize,

    #[command(flatten)]
    ground: Ground,
}

impl Bench {
    pub(crate) fn run(self) -> Result<Exit> {
        match self.command {
            Command::Boot(boot) => boot.run(),
            Command::Connect(connect) => connect.run(),
        }
    }
}

/// What is measured on, and with what.
#[derive(Debug, Args)]
struct Ground {
    /// The kernel's release, or a pattern; the first that fits is taken
    #[arg(long, value_name = "GLOB", default_value = "6.1.*-amd64")]
    kernel: String,

    #[command(flatten)]
    source: SourceOptions,

    #[command(flatten)]
    host: HostOptions,
}

/// A kernel with the module built for it, ready to be booted.
struct Ready {
    lab: Arc<Lab>,
    cell: Cell,
    spec: CellSpec,
    /// For what a bench keeps.
    dir: PathBuf,
}

impl Ground {
    /// Makes it ready, with `more` programs on the host.
    async fn prepare(&self, more: &[Tool]) -> Result<Ready> {
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
            .into_iter()
            .next()
            .ok_or_else(|| UsageError("no kernel fits".into()))?;
        let tools: Vec<_> = host_tools()
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        tools::require(&tools, self.host.install())?;
        let dir = root.join("target/bench");
        let request = LabRequest {
            live: Arc::new(tidelock_report::Live::plain()),
            all_kernels: false,
            run_dir: dir.join(cell.kernel.release.as_str()),
            root,
            tier: Tier::Full,
            tests: Vec::new(),
            rerun: true,
            thorough: true,
        };
        let fetcher = sources::fetcher(&self.source)?;
        let lab = Arc::new(Lab::new(request, plans, fetcher, &cell).await?);
        let spec = cell::ready(&lab, &cell)
            .await
            .map_err(|ending| anyhow!(ending.reason))?;
        Ok(Ready {
            lab,
            cell,
            spec,
            dir,
        })
    }
}

impl Boot {
    fn run(self) -> Result<Exit> {
        let (report, ready) = runtime::block_on(async {
            let ready = self.ground.prepare(bench::TOOLS).await?;
            let packages = cell::image_packages(&ready.lab, &ready.cell.kernel);
            let virtme = tokio::task::block_in_place(|| {
                bench::virtme(&ready.dir, &ready.spec, &packages, deb::extract)
            })?;
            let engine = &ready.lab.engine;
            let report = bench::bench(engine, &ready.spec, Some(&virtme), self.rounds.get());
            Ok((report.await?, ready))
        })?;
        println!("{}:\n{report}", ready.cell.kernel.release);
        Ok(Exit::Passed)
    }
}
