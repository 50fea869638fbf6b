// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From packages in the store to a module that is known to load: probes, compile, check.
//!
//! All of it computes and waits for compilers: call it where blocking is allowed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tidelock_host::files::{self, FileError};
use tidelock_kbuild::{
    CheckPolicy, CompileRequest, CoreObject, Headers, KernelFacts, Module, Package, ProbeRequest,
    Root, Sources, StaticVerdict, Symvers,
};
use tidelock_matrix::{LockedKernel, LockedPackage, LockedRoot};
use tidelock_model::Durations;

use super::ending::Ending;

/// What a kernel's module is made of, besides the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ingredients<'a> {
    /// The user's cache folder.
    pub(crate) cache: &'a Path,
    /// The C shim.
    pub(crate) sources: &'a Sources,
    /// The Rust core; none for modules that have none.
    pub(crate) core: Option<CoreObject<'a>>,
    /// Where a package of the lock is in the store.
    pub(crate) store: &'a tidelock_archive::Store,
}

/// A module as it came out of the build, with the tools it was built with.
#[derive(Debug)]
pub(crate) struct Built {
    /// The module.
    pub(crate) module: Module,
    /// What it was compiled against.
    pub(crate) headers: Headers,
    /// By stage.
    pub(crate) durations: Durations,
}

/// Probes the kernel and compiles the module, with logs in `logs`.
pub(crate) fn build(
    kernel: &LockedKernel,
    root: &LockedRoot,
    with: &Ingredients<'_>,
    logs: &Path,
    stage: &dyn Fn(&'static str),
) -> Result<Built, Ending> {
    let mut durations = Durations::new();
    stage("probe");
    let (root, headers) = tools(kernel, root, with)?;
    let request = ProbeRequest {
        root: &root,
        headers: &headers,
        probes: &with.sources.probes,
        log: &logs.join("probe.log"),
    };
    let answers = tidelock_kbuild::run_probes(with.cache, &request)
        .map_err(|error| Ending::of_build("probe", &error))?;
    record(&mut durations, "probe", answers.duration);
    stage("compile");
    let request = CompileRequest {
        root: &root,
        headers: &headers,
        sources: with.sources,
        answers: &answers.result,
        core: with.core,
        module: "tidelock",
        version: env!("CARGO_PKG_VERSION"),
        log: &logs.join("build.log"),
    };
    let module = tidelock_kbuild::compile(with.cache, &request)
        .map_err(|error| Ending::of_build("compile", &error))?;
    record(&mut durations, "compile", module.duration);
    keep(&module.result, logs).map_err(|error| Ending::error("compile", error))?;
    Ok(Built {
        module: module.result,
        headers,
        durations,
    })
}

/// Puts the module, and the one with debug information, beside the logs, for packages and people.
fn keep(module: &Module, logs: &Path) -> Result<(), FileError> {
    for (from, name) in [
        (&module.stripped, "tidelock.ko"),
        (&module.unstripped, "tidelock.debug.ko"),
    ] {
        files::link_or_copy(from, &logs.join(name))?;
    }
    Ok(())
}

/// The build root and the headers, unpacked.
pub(crate) fn tools(
    kernel: &LockedKernel,
    root: &LockedRoot,
    with: &Ingredients<'_>,
) -> Result<(Root, Headers), Ending> {
    let failed = |error| Ending::of_build("probe", &error);
    let root = tidelock_kbuild::ensure_root(with.cache, &packages(&root.packages, with.store))
        .map_err(failed)?;
    let headers = packages(&kernel.headers, with.store);
    let headers =
        tidelock_kbuild::ensure_headers(with.cache, &kernel.release, &headers).map_err(failed)?;
    Ok((root.result, headers.result))
}

/// Judges the module's bytes against the kernel; `sibling` is a module that came with it.
pub(crate) fn check(
    built: &Built,
    sibling: &Path,
    policy: &CheckPolicy<'_>,
    logs: &Path,
) -> Result<StaticVerdict, Ending> {
    let error = |error: &dyn std::fmt::Display| Ending::error("check", error);
    let sibling = files::read(sibling).map_err(|e| error(&e))?;
    let vermagic = tidelock_kbuild::vermagic_of(&sibling).map_err(|e| error(&e))?;
    let text = built.headers.module_symvers().map_err(|e| error(&e))?;
    let symvers = Symvers::parse(&text).map_err(|e| error(&e))?;
    let bytes = files::read(&built.module.stripped).map_err(|e| error(&e))?;
    let facts = KernelFacts {
        vermagic: &vermagic,
        symvers: &symvers,
    };
    let verdict = tidelock_kbuild::check(&bytes, &facts, policy).map_err(|e| error(&e))?;
    let json = serde_json::to_vec_pretty(&verdict).map_err(|e| error(&e))?;
    files::write_atomic(&logs.join("check.json"), &json).map_err(|e| error(&e))?;
    match verdict.findings.first() {
        None => Ok(verdict),
        Some(first) => {
            let more = match verdict.findings.len() {
                1 => String::new(),
                count => format!(" (and {} more in check.json)", count - 1),
            };
            Err(Ending::fail("check", format!("{first}{more}")))
        }
    }
}

/// Packages of the lock, with their files in the store.
pub(crate) fn packages(locked: &[LockedPackage], store: &tidelock_archive::Store) -> Vec<Package> {
    let package = |package: &LockedPackage| Package {
        name: package.name.clone(),
        path: path(package, store),
        sha256: package.file.sha256,
    };
    locked.iter().map(package).collect()
}

fn path(package: &LockedPackage, store: &tidelock_archive::Store) -> PathBuf {
    store.path(&package.file.sha256)
}

pub(crate) fn record(durations: &mut Durations, stage: &str, duration: Duration) {
    durations.insert(
        stage.into(),
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    );
}
