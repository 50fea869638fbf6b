// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks of the C shim's text: checkpatch, and sparse against a kernel of each series.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow};
use tidelock_archive::{Fetcher, NoProgress};
use tidelock_host::{
    files, process,
    tools::{self, Tool},
};
use tidelock_kbuild::{CompileRequest, KbuildError, LintReport, ProbeRequest, Sources};
use tidelock_matrix::{LockedKernel, LockedRoot};
use tidelock_model::Flavour;

use super::{Context, Tally};
use crate::run::{
    build::{self, Ingredients},
    lab, runtime,
    sources::{self, Plans},
};

/// checkpatch comes with the kernel's source; the package names the host's own kernel.
const SOURCE: Tool = Tool {
    program: "/usr/share/doc/linux-source",
    package: "linux-source",
};
const PERL: Tool = Tool {
    program: "perl",
    package: "perl",
};

pub(super) fn style(context: &Context) -> Result<Tally> {
    let mut tally = checkpatch(context)?;
    tally += sparse(context)?;
    Ok(tally)
}

/// checkpatch --strict over every C file of the module and of the corpus.
fn checkpatch(context: &Context) -> Result<Tally> {
    tools::require(&[SOURCE, PERL], context.install)?;
    let scripts = tidelock_kbuild::ensure_checkpatch(&files::cache_dir()?, &newest_source()?)?;
    let mut tally = Tally::default();
    // Each folder from within, so that its own .checkpatch.conf counts.
    for folder in ["kmod", "xtask/corpus"] {
        let dir = context.root.join(folder);
        let mut git = process::command("git");
        git.args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.c",
            "*.h",
        ]);
        let list = String::from_utf8(process::run(git, Some(&dir))?)?;
        let paths: Vec<PathBuf> = list.lines().map(PathBuf::from).collect();
        let log = context
            .root
            .join("target/module")
            .join(folder)
            .join("checkpatch.log");
        let report = tidelock_kbuild::checkpatch(&scripts.result, &dir, &paths, &log)?;
        tally += told(&format!("checkpatch on {folder}"), paths.len(), &report);
    }
    Ok(tally)
}

/// The source that is installed, by its tarball.
fn newest_source() -> Result<PathBuf> {
    let dir = std::fs::read_dir("/usr/src").context("reading /usr/src")?;
    let mut tarballs: Vec<PathBuf> = dir
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            name.starts_with("linux-source-") && name.ends_with(".tar.xz")
        })
        .collect();
    tarballs.sort();
    tarballs
        .pop()
        .ok_or_else(|| anyhow!("no /usr/src/linux-source-*.tar.xz: is linux-source installed?"))
}

/// sparse over the module as each series' newest standard kernel sees it, of those whose build
/// root has a sparse that understands the kernel's headers.
fn sparse(context: &Context) -> Result<Tally> {
    let plans = Plans::read(&context.root)?;
    let fetcher = sources::fetcher(&context.source)?;
    let mut series: BTreeMap<_, Vec<&LockedKernel>> = BTreeMap::new();
    let standard = |kernel: &&LockedKernel| kernel.flavour == Flavour::Standard;
    for kernel in plans.lock.kernels.iter().filter(standard) {
        series.entry(kernel.series).or_default().push(kernel);
    }
    let sources = Sources::read(&context.root.join("kmod"))?;
    let mut tally = Tally::default();
    for kernels in series.into_values() {
        tally += one_of(&kernels, &plans, &fetcher, &sources, context)?;
    }
    anyhow::ensure!(tally != Tally::default(), "sparse ran on no kernel at all");
    Ok(tally)
}

/// sparse as one of `kernels` sees the module: the newest that it can be run for. The lock is
/// sorted by version; a series that it runs for no kernel of is a failure.
fn one_of(
    kernels: &[&LockedKernel],
    plans: &Plans,
    fetcher: &Fetcher,
    sources: &Sources,
    context: &Context,
) -> Result<Tally> {
    let cache = files::cache_dir()?;
    for kernel in kernels.iter().rev() {
        let root = plans
            .lock
            .root(&kernel.root)
            .context("a build root the lock does not have")?;
        let wanted = [kernel.header_files(), root.files()].concat();
        let fetched = async { Ok(fetcher.fetch(&wanted, Arc::new(NoProgress)).await?) };
        runtime::block_on(fetched)?;
        let with = Ingredients {
            cache: &cache,
            sources,
            core: None,
            store: fetcher.store(),
        };
        let log = context
            .root
            .join("target/module")
            .join(kernel.release.as_str());
        if let Some(tally) = sparse_on(kernel, root, &with, &log)? {
            return Ok(tally);
        }
    }
    Ok(Tally::one(false))
}

/// sparse over the module as one kernel sees it; none where its build root's cannot be used.
fn sparse_on(
    kernel: &LockedKernel,
    root: &LockedRoot,
    with: &Ingredients<'_>,
    log: &Path,
) -> Result<Option<Tally>> {
    let (root, headers) =
        build::tools(kernel, root, with).map_err(|ending| anyhow!(ending.reason))?;
    let probes = ProbeRequest {
        root: &root,
        headers: &headers,
        probes: &with.sources.probes,
        log: &log.join("probe.log"),
    };
    let answers = tidelock_kbuild::run_probes(with.cache, &probes)?.result;
    let request = CompileRequest {
        root: &root,
        headers: &headers,
        sources: with.sources,
        answers: &answers,
        core: None,
        module: "tidelock",
        version: env!("CARGO_PKG_VERSION"),
        log: &log.join("sparse.log"),
    };
    let checker = format!("sparse on {}", kernel.release);
    match tidelock_kbuild::sparse(with.cache, &request) {
        Ok(report) => Ok(Some(told(&checker, with.sources.files.len(), &report))),
        Err(error @ KbuildError::Incomplete { .. }) => {
            println!("{checker}: not run: {error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints what a checker said.
fn told(checker: &str, files: usize, report: &LintReport) -> Tally {
    let verdict = if report.is_clean() {
        "clean"
    } else {
        "NOT CLEAN"
    };
    println!("{checker}: {files} files, {verdict}");
    for line in &report.complaints {
        println!("  {line}");
    }
    Tally::one(report.is_clean())
}

/// The host programs that the matrix needs are needed here too.
pub(super) fn host(context: &Context) -> Result<()> {
    Ok(tools::require(&lab::host_tools(), context.install)?)
}
