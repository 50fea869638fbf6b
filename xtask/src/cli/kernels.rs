// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask kernels`: what is locked, what the archive has, and whether the two agree.

use std::{path::Path, sync::Arc, time::SystemTime};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use tidelock_archive::{NoProgress, Store};
use tidelock_matrix::{Depth, Diff, LockedKernel, Verification};
use tidelock_model::{Flavour, Release, Series, Tier};

use super::options::{self, SourceOptions};
use crate::{
    exit::Exit,
    run::{runtime, sources},
};

/// Show, discover, lock and verify kernels
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub(crate) struct Kernels {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the kernels of matrix.lock
    #[command(after_help = "Examples:\n  cargo xtask kernels list\n  \
                      cargo xtask kernels list --tier quick --json\n  \
                      cargo xtask kernels list --kernel '6.12*'")]
    List(Listing),
    /// Show what the archive offers now, through its whole signed chain
    #[command(after_help = "Example:\n  cargo xtask kernels discover")]
    Discover(Asking),
    /// Write matrix.lock from what the archive offers now
    #[command(
        after_help = "Examples:\n  cargo xtask kernels lock --dry-run\n  cargo xtask kernels lock"
    )]
    Lock(Locking),
    /// Show what is new in the archive, and what has vanished, against matrix.lock
    ///
    /// Exits with 1 when there is a difference.
    #[command(after_help = "Example:\n  cargo xtask kernels diff")]
    Diff(Asking),
    /// Verify matrix.lock against the archive's signed indexes
    ///
    /// Exits with 1 when something locked is not what the archive signs, or is gone.
    #[command(
        after_help = "Examples:\n  cargo xtask kernels verify\n  cargo xtask kernels verify --deep"
    )]
    Verify(Verifying),
}

#[derive(Debug, Args)]
struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Listing {
    /// Only the kernels of a tier
    #[arg(long, value_name = "TIER")]
    tier: Option<Tier>,
    /// Only kernels whose release fits the pattern; may be given several times
    #[arg(long, value_name = "GLOB")]
    kernel: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Asking {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    source: SourceOptions,
}

#[derive(Debug, Args)]
struct Locking {
    /// Show the difference, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Verifying {
    /// Also fetch every locked file and hash it
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Kernels {
    pub(crate) fn run(self) -> Result<Exit> {
        let root = options::checkout();
        match self.command {
            Command::List(listing) => list(&root, &listing),
            Command::Discover(asking) => runtime::block_on(discover(&root, &asking)),
            Command::Lock(locking) if locking.dry_run => {
                runtime::block_on(diff(&root, &locking.asking)).map(|_| Exit::Passed)
            }
            Command::Lock(locking) => runtime::block_on(lock(&root, &locking.asking)),
            Command::Diff(asking) => runtime::block_on(diff(&root, &asking)),
            Command::Verify(verifying) => runtime::block_on(verify(&root, &verifying)),
        }
    }
}

/// One kernel, for `--json`.
#[derive(Serialize)]
struct Line<'a> {
    kernel: &'a Release,
    series: Series,
    flavour: Flavour,
    suite: &'a str,
    version: &'a str,
    root: &'a str,
}

impl<'a> Line<'a> {
    fn of(kernel: &'a LockedKernel) -> Self {
        Self {
            kernel: &kernel.release,
            series: kernel.series,
            flavour: kernel.flavour,
            suite: &kernel.suite,
            version: &kernel.version,
            root: &kernel.root,
        }
    }
}

fn print_kernels(kernels: &[LockedKernel], output: &Output) -> Result<()> {
    if output.json {
        let lines: Vec<Line<'_>> = kernels.iter().map(Line::of).collect();
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    println!(
        "{:<34}{:<8}{:<10}{:<20}VERSION",
        "KERNEL", "SERIES", "FLAVOUR", "SUITE"
    );
    for kernel in kernels.iter().map(Line::of) {
        println!(
            "{:<34}{:<8}{:<10}{:<20}{}",
            kernel.kernel, kernel.series, kernel.flavour, kernel.suite, kernel.version
        );
    }
    println!("{} kernels", kernels.len());
    Ok(())
}

fn list(root: &Path, listing: &Listing) -> Result<Exit> {
    let plans = sources::Plans::read(root)?;
    let (matrix, lock, tier) = (&plans.matrix, &plans.lock, listing.tier);
    let store = Store::open()?;
    let listed = tidelock_matrix::list(matrix, lock, &store, tier, &listing.kernel)
        .map_err(sources::unplannable)?;
    if listing.output.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(Exit::Passed);
    }
    println!(
        "{:<34}{:<8}{:<10}{:<20}{:<22}{:>9}  {:<8}TIERS",
        "KERNEL", "SERIES", "FLAVOUR", "SUITE", "VERSION", "MB", "CACHED"
    );
    for kernel in &listed {
        let tiers: Vec<String> = kernel.tiers.iter().map(ToString::to_string).collect();
        println!(
            "{:<34}{:<8}{:<10}{:<20}{:<22}{:>9}  {:<8}{}",
            kernel.release,
            kernel.series,
            kernel.flavour,
            kernel.suite,
            kernel.version,
            kernel.bytes / 1_000_000,
            if kernel.cached { "yes" } else { "no" },
            tiers.join(" ")
        );
    }
    println!("{} kernels", listed.len());
    if tier.is_none() && listing.kernel.is_empty() && !lock.missing.is_empty() {
        let missing: Vec<&str> = lock.missing.iter().map(|k| k.release.as_str()).collect();
        println!(
            "{} more are listed by the archive and no longer served: {}",
            missing.len(),
            missing.join(" ")
        );
    }
    Ok(Exit::Passed)
}

async fn found(root: &Path, asking: &Asking) -> Result<tidelock_matrix::Discovery> {
    let fetcher = sources::fetcher(&asking.source)?;
    let matrix = sources::matrix(root)?;
    let discovery =
        tidelock_matrix::discover(&matrix, &fetcher, RUST_VERSION, SystemTime::now()).await?;
    for warning in &discovery.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(discovery)
}

/// The pinned toolchain's version, whose `rust-src` the lock holds.
pub(crate) const RUST_VERSION: &str = concat!(env!("CARGO_PKG_RUST_VERSION"), ".0");

async fn discover(root: &Path, asking: &Asking) -> Result<Exit> {
    let discovery = found(root, asking).await?;
    for skipped in &discovery.skipped {
        eprintln!(
            "skipped: {} ({}): {}",
            skipped.release, skipped.suite, skipped.reason
        );
    }
    print_kernels(&discovery.lock.kernels, &asking.output)?;
    Ok(Exit::Passed)
}

async fn lock(root: &Path, asking: &Asking) -> Result<Exit> {
    let fetcher = sources::fetcher(&asking.source)?;
    let matrix = sources::matrix(root)?;
    let path = sources::lock_path(root);
    let locking =
        tidelock_matrix::lock(&matrix, &path, &fetcher, RUST_VERSION, SystemTime::now()).await?;
    for warning in &locking.discovery.warnings {
        eprintln!("warning: {warning}");
    }
    match &locking.diff {
        Some(diff) => print_diff(diff, &asking.output)?,
        None => print_kernels(&locking.discovery.lock.kernels, &asking.output)?,
    }
    Ok(Exit::Passed)
}

async fn diff(root: &Path, asking: &Asking) -> Result<Exit> {
    let plans = sources::Plans::read(root)?;
    let discovery = found(root, asking).await?;
    let diff = tidelock_matrix::diff(&plans.lock, &discovery.lock);
    print_diff(&diff, &asking.output)?;
    Ok(if diff.is_empty() {
        Exit::Passed
    } else {
        Exit::Failed
    })
}

fn print_diff(diff: &Diff, output: &Output) -> Result<()> {
    if output.json {
        println!("{}", serde_json::to_string_pretty(diff)?);
    } else {
        print!("{diff}");
    }
    Ok(())
}

async fn verify(root: &Path, verifying: &Verifying) -> Result<Exit> {
    let asking = &verifying.asking;
    let plans = sources::Plans::read(root)?;
    let fetcher = sources::fetcher(&asking.source)?;
    let depth = if verifying.deep {
        Depth::Contents
    } else {
        Depth::Sizes
    };
    let verification = tidelock_matrix::verify(
        &plans.matrix,
        &plans.lock,
        &fetcher,
        depth,
        Arc::new(NoProgress),
        SystemTime::now(),
    )
    .await?;
    if asking.output.json {
        println!("{}", serde_json::to_string_pretty(&verification)?);
    } else {
        print_verification(&verification);
    }
    Ok(if verification.faults.is_empty() {
        Exit::Passed
    } else {
        Exit::Failed
    })
}

fn print_verification(verification: &Verification) {
    for (packages, what) in [
        (
            &verification.unlisted,
            "no signed index lists it any more; the mirror still has it",
        ),
        (
            &verification.cached_only,
            "only this host's cache still has it",
        ),
    ] {
        for package in packages {
            println!("{package}: {what}");
        }
    }
    for fault in &verification.faults {
        println!("{}: {}: {}", fault.package, fault.verdict, fault.detail);
    }
    println!(
        "{} listed as locked, {} unlisted, {} in the cache only, {} at fault",
        verification.listed,
        verification.unlisted.len(),
        verification.cached_only.len(),
        verification.faults.len()
    );
}
