// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask abi`: the first kernel that breaks a module, and the symbol.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use tidelock_archive::NoProgress;
use tidelock_host::files;
use tidelock_kbuild::Symvers;
use tidelock_matrix::LockedKernel;
use tidelock_model::{Release, Series};

use super::options::{self, SourceOptions};
use crate::{
    exit::{Exit, UsageError},
    run::{build, runtime, sources},
};

/// Name the first kernel that a built module would not load on, and the symbol
///
/// Compares the module's symbols, CRCs and namespaces with Module.symvers of each locked kernel,
/// in the order of versions, without building or booting. Exits with 1 when one breaks.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask abi tidelock.ko\n  \
                        cargo xtask abi tidelock.ko --series 6.12")]
pub(crate) struct Abi {
    /// The module
    module: PathBuf,

    /// Only kernels of this series
    #[arg(long, value_name = "SERIES")]
    series: Option<Series>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    source: SourceOptions,
}

impl Abi {
    pub(crate) fn run(self) -> Result<Exit> {
        let bytes = files::read(&self.module)?;
        let root = options::checkout();
        let kernels = runtime::block_on(symvers(&root, &self.source, self.series))?;
        let first = tidelock_kbuild::abi(&bytes, &kernels)
            .with_context(|| self.module.display().to_string())?;
        if self.json {
            let json = first.as_ref().map(|first| {
                serde_json::json!({
                    "kernel": first.release,
                    "symbol": first.symbol,
                    "reason": first.reason.to_string(),
                    "symbols": first.count,
                })
            });
            println!(
                "{}",
                serde_json::json!({ "kernels": kernels.len(), "breaks": json })
            );
        } else if let Some(first) = &first {
            println!("{}: {}: {}", first.release, first.symbol, first.reason);
            println!(
                "{} symbols break there; {} kernels looked at",
                first.count,
                kernels.len()
            );
        } else {
            println!("fits all {} kernels", kernels.len());
        }
        Ok(if first.is_none() {
            Exit::Passed
        } else {
            Exit::Failed
        })
    }
}

/// What the locked kernels export, in the order of the lock.
async fn symvers(
    root: &Path,
    source: &SourceOptions,
    series: Option<Series>,
) -> Result<Vec<(Release, Symvers)>> {
    let plans = sources::Plans::read(root)?;
    let wanted = |kernel: &&LockedKernel| series.is_none_or(|series| kernel.series == series);
    let kernels: Vec<_> = plans.lock.kernels.iter().filter(wanted).collect();
    if kernels.is_empty() {
        let text = format!("no locked kernel is of that series: {series:?}");
        return Err(UsageError(text).into());
    }
    let fetcher = sources::fetcher(source)?;
    let wanted: Vec<_> = kernels
        .iter()
        .flat_map(|kernel| kernel.header_files())
        .collect();
    fetcher
        .fetch(&wanted, std::sync::Arc::new(NoProgress))
        .await?;
    let cache = files::cache_dir()?;
    let read = |kernel: &&LockedKernel| {
        let packages = build::packages(&kernel.headers, fetcher.store());
        let headers = tidelock_kbuild::ensure_headers(&cache, &kernel.release, &packages)?;
        let symvers = Symvers::parse(&headers.result.module_symvers()?)
            .with_context(|| format!("Module.symvers of {}", kernel.release))?;
        Ok((kernel.release.clone(), symvers))
    };
    kernels.iter().map(read).collect()
}
