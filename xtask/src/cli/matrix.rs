// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask matrix`: kernels to verdicts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::Args;
use tidelock_host::tools;
use tidelock_matrix::Cell;
use tidelock_model::{RunReport, Tier};
use tidelock_report::Live;

use super::options::{self, HostOptions, JobOptions, SourceOptions};
use crate::{
    exit::{Exit, UsageError},
    run::{
        self,
        lab::{Lab, LabRequest},
        runtime,
        schedule::Budget,
        sources,
    },
};

/// Build, boot and test the module on every kernel of a tier
///
/// Reports go to target/matrix/latest/. What did not change since it was last run is not run
/// again; Ctrl-C leaves nothing running, and the next run goes on from there.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask matrix\n  cargo xtask matrix --tier full --jobs 4\n  \
                        cargo xtask matrix --kernel '6.12*' --test 'load.*'\n  \
                        cargo xtask matrix --dry-run --json\n\n\
                        Exit codes: 0 all passed, 1 some failed, 2 bad usage, \
                        3 infrastructure error, 130 interrupted."
)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct Matrix {
    /// How much of the matrix: quick, standard, full [default: quick; all that fits --kernel]
    #[arg(long, value_name = "TIER")]
    tier: Option<Tier>,

    /// Only kernels whose release fits the pattern; may be given several times
    #[arg(long, value_name = "GLOB")]
    kernel: Vec<String>,

    /// Only tests whose name fits the pattern; may be given several times
    #[arg(long, value_name = "GLOB")]
    test: Vec<String>,

    /// Print the plan, run nothing
    #[arg(long)]
    dry_run: bool,

    /// Print report.json (or, with --dry-run, the plan) to standard output
    #[arg(long)]
    json: bool,

    /// Run cells again even where nothing changed
    #[arg(long)]
    rerun: bool,

    /// Run every test on every kernel: without it a run of a whole tier deals those that take
    /// long (`heavy` in matrix.toml) out among the kernels of one tier
    #[arg(long)]
    thorough: bool,

    #[command(flatten)]
    jobs: JobOptions,

    #[command(flatten)]
    source: SourceOptions,

    #[command(flatten)]
    host: HostOptions,
}

impl Matrix {
    pub(crate) fn run(self) -> Result<Exit> {
        let root = options::checkout();
        let plans = sources::Plans::read(&root)?;
        let cells = tidelock_matrix::plan(&plans.matrix, &plans.lock, self.tier, &self.kernel)
            .map_err(sources::unplannable)?;
        let Some(first) = cells.first().cloned() else {
            return Err(UsageError("the plan is empty: nothing would be tested".into()).into());
        };
        if self.dry_run {
            print_plan(&cells, self.json)?;
            return Ok(Exit::Passed);
        }
        tools::require(&run::lab::host_tools(), self.host.install())?;
        let report = runtime::block_on(async {
            let live = Arc::new(Live::stderr());
            let fetcher = sources::fetcher(&self.source)?;
            let request = LabRequest {
                live: Arc::clone(&live),
                run_dir: new_run_dir(&root),
                root,
                tier: self.tier(),
                all_kernels: self.kernel.is_empty(),
                tests: self.test.clone(),
                rerun: self.rerun,
                thorough: self.thorough,
            };
            let lab = Arc::new(Lab::new(request, plans, fetcher, &first).await?);
            let jobs = Budget::of_host().jobs(self.jobs.jobs);
            let report = run::run(lab, cells, jobs, Arc::clone(&live)).await?;
            live.finish(&report);
            Ok(report)
        })?;
        self.print(&report)?;
        Ok(Exit::of_status(report.status))
    }

    /// The tier the report names: what was asked for, or what a plan without a tier is made of.
    fn tier(&self) -> Tier {
        self.tier.unwrap_or(if self.kernel.is_empty() {
            Tier::Quick
        } else {
            Tier::Full
        })
    }

    fn print(&self, report: &RunReport) -> Result<()> {
        if self.json {
            println!("{}", tidelock_report::json(report)?);
        }
        Ok(())
    }
}

/// A folder of its own for each run, named by its start, so that they sort.
fn new_run_dir(root: &Path) -> PathBuf {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    root.join("target/matrix")
        .join(format!("{seconds}-{}", std::process::id()))
}

fn print_plan(cells: &[Cell], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(cells)?);
        return Ok(());
    }
    for cell in cells {
        let kernel = &cell.kernel;
        let names: Vec<&str> = cell
            .expected
            .iter()
            .map(|capability| capability.as_str())
            .collect();
        println!(
            "{:<34}{:<8}{:<10}{:<20}{:<10}{}",
            kernel.release,
            kernel.series,
            kernel.flavour,
            kernel.suite,
            kernel.root,
            names.join(" ")
        );
    }
    println!("{} cells", cells.len());
    Ok(())
}
