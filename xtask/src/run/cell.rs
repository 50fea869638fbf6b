// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One kernel through all stages, from its packages to its verdict.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use tidelock_archive::deb;
use tidelock_host::files;
use tidelock_kbuild::{CheckPolicy, CoreObject};
use tidelock_matrix::{Cell, LockedKernel, LockedPackage};
use tidelock_model::{CellReport, Durations, KeyBuilder, Sha256, Status, TestReport};
use tidelock_vm::{
    kernel::{self, Kernel},
    machine::qemu,
    run::run_cell,
    spec::{self, CellSpec, Disk, Event},
};
use tokio_util::sync::CancellationToken;

use super::{
    build::{self, Built, Ingredients, record},
    capabilities,
    ending::Ending,
    lab::Lab,
    modules, results, sources, sparing,
};

/// What a cell tells of its way.
pub(crate) type Stage<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// What came of the stages before the report.
struct Tried {
    durations: Durations,
    module: Option<Sha256>,
    outcome: Result<Tested, Ending>,
}

/// What the guests said; kept by the module's bytes, the kernel and the guest. It is what was
/// measured, before it is held against what `matrix.toml` declares.
#[derive(serde::Serialize, serde::Deserialize)]
struct Tested {
    /// Where the logs of the run that measured it are.
    logs: PathBuf,
    status: Status,
    reason: String,
    tests: Vec<TestReport>,
    crash: Option<tidelock_model::Crash>,
    durations_ms: Durations,
}

/// A cell's report, and where the logs of the run that made it are.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    report: CellReport,
    logs: PathBuf,
}

/// The report of a cell that nothing changed for since it was run, if there is one. Its logs
/// are linked into the folder of this run.
pub(crate) fn remembered(lab: &Lab, cell: &Cell) -> Option<CellReport> {
    let Kept { report, logs } = lab.results.get(&key(lab, cell))?;
    let here = lab.run_dir.join(&report.logs);
    // Without its logs a report points nowhere: then the cell is run again.
    (logs.is_dir() && files::symlink_atomic(&logs, &here).is_ok()).then_some(CellReport {
        cached: true,
        ..report
    })
}

/// Runs a cell through all stages. Whatever happens, there is a report.
pub(crate) async fn run(lab: &Arc<Lab>, cell: &Cell, stage: Stage<'_>) -> CellReport {
    let logs = lab.run_dir.join(cell.kernel.release.as_str());
    let tried = stages(lab, cell, &logs, stage).await;
    let report = report(lab, cell, tried);
    if results::lasts(&report) {
        // Without the cache the next run is slower, and no less true.
        let kept = Kept { report, logs };
        let _ = lab.results.put(&key(lab, cell), &kept);
        return kept.report;
    }
    report
}

/// The key of all that the cell's report depends on.
fn key(lab: &Lab, cell: &Cell) -> Sha256 {
    let tests = lab.tests_of(cell);
    let mut key = KeyBuilder::new("cell", 1)
        .text("code", env!("TIDELOCK_STAGE_CODE"))
        .digest("shim", &lab.sources.digest())
        .digest("core", &lab.core_key)
        .digest("guest", &lab.guest.digest)
        .digest("programs", &programs(lab, &tests))
        .text("engine", &engine(lab))
        .digest("qemu", &lab.engine.qemu.digest)
        .text("release", cell.kernel.release.as_str())
        .text("expected", &format!("{:?}", cell.expected))
        .text("profile", &format!("{:?}", lab.plans.matrix.test))
        .text("tests", &tests.join(" "));
    for userland in &lab.userlands {
        key = key.digest("userland", &userland.digest());
    }
    for probe in &lab.sources.probes {
        key = key.digest(probe.name(), &probe.digest());
    }
    let root = lab.plans.lock.root(&cell.kernel.root);
    for package in cell.kernel.image.iter().chain(&cell.kernel.headers) {
        key = key.digest("kernel", &package.file.sha256);
    }
    for package in root.iter().flat_map(|root| &root.packages) {
        key = key.digest("root", &package.file.sha256);
    }
    key.finish()
}

/// What of the engine decides a verdict: not the words that tell of it.
fn engine(lab: &Lab) -> String {
    let (kind, version) = (lab.engine.accelerator.kind, lab.engine.qemu.version);
    format!("{} {}", kind.as_str(), qemu::cpu(kind, version).model)
}

async fn stages(lab: &Arc<Lab>, cell: &Cell, logs: &Path, stage: Stage<'_>) -> Tried {
    let mut tried = Tried {
        durations: Durations::new(),
        module: None,
        outcome: Err(Ending::error("fetch", "nothing was tried")),
    };
    tried.outcome = match prepare(lab, cell, logs, stage, &mut tried.durations).await {
        Err(ending) => Err(ending),
        Ok((built, kernel)) => {
            tried.module = Some(built.module.sha256);
            boot(lab, cell, logs, stage, &built, kernel).await
        }
    };
    if let Ok(tested) = &tried.outcome {
        tried.durations.extend(tested.durations_ms.clone());
    }
    tried
}

/// Everything before the boot: fetch, probe, compile, unpack, check.
async fn prepare(
    lab: &Arc<Lab>,
    cell: &Cell,
    logs: &Path,
    stage: Stage<'_>,
    durations: &mut Durations,
) -> Result<(Built, Kernel), Ending> {
    stage("fetch");
    let started = Instant::now();
    fetch(lab, cell).await?;
    record(durations, "fetch", started.elapsed());
    let core = lab
        .core()
        .await
        .map_err(|error| Ending::error("compile", format!("{error:#}")))?;
    stage("build");
    let (lab_, kernel, logs_) = (Arc::clone(lab), cell.kernel.clone(), logs.to_owned());
    let task = tokio::task::spawn_blocking(move || {
        let root = lab_.plans.lock.root(&kernel.root).ok_or_else(|| {
            Ending::error(
                "probe",
                format!("matrix.lock has no build root {}", kernel.root),
            )
        })?;
        let with = Ingredients {
            cache: &lab_.cache,
            sources: &lab_.sources,
            core: Some(CoreObject {
                bytes: &core.bytes,
                sha256: core.sha256,
            }),
            store: lab_.fetcher.store(),
        };
        let mut built = build::build(&kernel, root, &with, &logs_, &|_| {})?;
        let started = Instant::now();
        let image = unpack(&lab_, &kernel)?;
        record(&mut built.durations, "unpack", started.elapsed());
        let started = Instant::now();
        let sibling = image.modules.first().map(|module| module.path.clone());
        let sibling = sibling.ok_or_else(|| Ending::error("check", "the kernel has no module"))?;
        build::check(&built, &sibling, &CheckPolicy::TIDELOCK, &logs_)?;
        record(&mut built.durations, "check", started.elapsed());
        Ok((built, image))
    });
    let (built, kernel) = task
        .await
        .map_err(|error| Ending::error("build", error))??;
    durations.extend(built.durations.clone());
    Ok((built, kernel))
}

/// Gets the packages of the kernel and of its build root.
pub(crate) async fn fetch(lab: &Lab, cell: &Cell) -> Result<(), Ending> {
    let mut files = cell.kernel.files();
    files.extend(
        lab.plans
            .lock
            .root(&cell.kernel.root)
            .iter()
            .flat_map(|root| root.files()),
    );
    let progress = sources::shown(&lab.live, cell.kernel.release.as_str());
    let fetched = lab.fetcher.fetch(&files, progress).await;
    fetched
        .map(drop)
        .map_err(|errors| Ending::of_fetch(&errors))
}

/// The packages of a kernel's image, in the store.
pub(crate) fn image_packages(lab: &Lab, kernel: &LockedKernel) -> Vec<kernel::Package> {
    let package = |package: &LockedPackage| kernel::Package {
        path: lab.fetcher.store().path(&package.file.sha256),
        sha256: package.file.sha256,
    };
    kernel.image.iter().map(package).collect()
}

/// The kernel's image and the modules the tests need.
pub(crate) fn unpack(lab: &Lab, kernel: &LockedKernel) -> Result<Kernel, Ending> {
    let (packages, wanted) = (image_packages(lab, kernel), modules::wanted());
    kernel::prepare(
        &lab.cache,
        &kernel.release,
        &packages,
        &wanted,
        deb::extract,
    )
    .map_err(|error| Ending::error("unpack", error))
}

/// Boots the kernel and runs the tests, or finds what they said of the same bytes before.
async fn boot(
    lab: &Lab,
    cell: &Cell,
    logs: &Path,
    stage: Stage<'_>,
    built: &Built,
    kernel: Kernel,
) -> Result<Tested, Ending> {
    let disks = disks(lab).await?;
    let tests = lab.tests_of(cell);
    let mut key = KeyBuilder::new("tested", 1)
        .text("code", env!("TIDELOCK_STAGE_CODE"))
        .digest("module", &built.module.sha256)
        .digest("kernel", &kernel.key)
        .digest("guest", &lab.guest.digest)
        .digest("programs", &programs(lab, &tests))
        .text("engine", &engine(lab))
        .digest("qemu", &lab.engine.qemu.digest)
        .text("profile", &format!("{:?}", lab.plans.matrix.test))
        .text("tests", &tests.join(" "));
    for disk in &disks {
        key = key.digest(&disk.name, &disk.sha256);
    }
    let key = key.finish();
    let kept = (!lab.rerun).then(|| lab.results.get::<Tested>(&key));
    let mut tested = match kept.flatten() {
        // Without its logs a verdict points nowhere: then the tests are run again.
        Some(tested) if link_logs(&tested.logs, logs, &tested.tests) => tested,
        _ => {
            let mut spec = spec(lab, kernel, built.module.stripped.clone(), logs);
            take(lab, &mut spec, tests);
            spec.processors = processors(lab, cell);
            spec.disks = disks;
            let tested = measure(lab, stage, built, spec).await;
            if matches!(tested.status, Status::Pass | Status::Fail) {
                // Without the cache the next run is slower, and no less true.
                let _ = lab.results.put(&key, &tested);
            }
            tested
        }
    };
    if let Some(reason) = capabilities::expect(&mut tested.tests, cell)
        && tested.status < Status::Fail
    {
        tested.status = Status::Fail;
        tested.reason = reason;
    }
    Ok(tested)
}

/// Boots the kernel and runs the tests.
async fn measure(lab: &Lab, stage: Stage<'_>, built: &Built, spec: CellSpec) -> Tested {
    let tell = |event: Event<'_>| match event {
        Event::Booting => stage("boot"),
        Event::Testing(name) => stage(name),
        Event::Ready { .. } | Event::Tested(_) => {}
    };
    let outcome = run_cell(&lab.engine, &spec, &tell, &CancellationToken::new()).await;
    let mut tested = Tested {
        logs: spec.logs.clone(),
        status: outcome.status,
        reason: outcome.reason,
        tests: outcome.tests,
        crash: outcome.crash,
        durations_ms: outcome.durations_ms,
    };
    if let Some(crash) = &mut tested.crash {
        modules::symbolise(crash, &built.module.unstripped);
    }
    tested
}

/// Makes the logs of tests that were run in `old` found in `new` too; whether they are there.
fn link_logs(old: &Path, new: &Path, tests: &[TestReport]) -> bool {
    // What did not run has none.
    let ran = || tests.iter().filter(|test| test.status != Status::Skip);
    // All or none: what is measured anew must not be written through a link to the old.
    ran().all(|test| old.join(&test.name).is_dir())
        && ran().all(|test| {
            let (from, to) = (old.join(&test.name), new.join(&test.name));
            files::symlink_atomic(&from, &to).is_ok()
        })
}

/// A cell with its module built and checked, ready to boot.
pub(crate) async fn ready(lab: &Arc<Lab>, cell: &Cell) -> Result<CellSpec, Ending> {
    let logs = lab.run_dir.clone();
    let mut durations = Durations::new();
    let tell = |stage: &str| eprintln!("{}: {stage}", cell.kernel.release);
    let (built, kernel) = prepare(lab, cell, &logs, &tell, &mut durations).await?;
    let mut spec = spec(lab, kernel, built.module.stripped, &logs);
    spec.processors = processors(lab, cell);
    spec.disks = disks(lab).await?;
    Ok(spec)
}

fn processors(lab: &Lab, cell: &Cell) -> u8 {
    let profile = &lab.plans.matrix.test;
    profile.processors(cell.kernel.flavour)
}

async fn disks(lab: &Lab) -> Result<Vec<Disk>, Ending> {
    let disks = lab.disks().await;
    disks.map_err(|error| Ending::error("boot", format!("{error:#}")))
}

/// What QEMU is started with for a cell, but for its disks.
pub(crate) fn spec(lab: &Lab, kernel: Kernel, module: PathBuf, logs: &Path) -> CellSpec {
    let profile = &lab.plans.matrix.test;
    let mut spec = CellSpec::new(kernel, lab.guest.path.clone(), logs.to_owned());
    spec.module = Some(module);
    take(lab, &mut spec, lab.tests.clone());
    spec.sharing.clone_from(&lab.sharing);
    spec.mib = profile.memory_mib;
    spec.limits = spec::Limits {
        boot: std::time::Duration::from_secs(profile.boot_seconds.into()),
        test: std::time::Duration::from_secs(profile.test_seconds.into()),
        ..spec::Limits::default()
    };
    spec
}

/// The tests that a machine runs, and the programs that they need.
fn take(lab: &Lab, spec: &mut CellSpec, tests: Vec<String>) {
    let programs = lab.programs_for(&tests);
    spec.extra = programs.map_or_else(Vec::new, |programs| programs.entries.clone());
    spec.tests = tests;
}

/// Of the programs in the guest of these tests.
fn programs(lab: &Lab, tests: &[String]) -> Sha256 {
    let programs = lab.programs_for(tests);
    programs.map_or_else(|| Sha256::of(b"none"), |programs| programs.digest)
}

/// The report of a cell whose own task fell over.
pub(crate) fn broken(lab: &Lab, cell: &Cell, error: &tokio::task::JoinError) -> CellReport {
    let reason = format!("infrastructure: the factory fell over in this cell: {error}");
    lab.planned(cell)
        .without_result(lab.tier, Status::Error, "plan", &reason)
}

fn report(lab: &Lab, cell: &Cell, tried: Tried) -> CellReport {
    let planned = lab.planned(cell);
    let mut report = match tried.outcome {
        Err(ending) => {
            planned.without_result(lab.tier, ending.status, ending.stage, &ending.reason)
        }
        Ok(tested) => CellReport {
            status: tested.status,
            stage: "test".into(),
            reason: tested.reason,
            accelerator: lab.engine.accelerator.kind.as_str().into(),
            tests: sparing::with_left_out(lab, cell, tested.tests),
            crash: tested.crash,
            ..planned.without_result(lab.tier, Status::Error, "test", "")
        },
    };
    report.durations_ms = tried.durations;
    report.module_sha256 = tried.module;
    report.logs = cell.kernel.release.to_string();
    report
}

#[cfg(test)]
mod tests {
    use tidelock_model::Measured;

    use super::*;

    #[test]
    fn logs_are_linked_all_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let test = |name: &str, status| TestReport {
            name: name.into(),
            status,
            duration_ms: 0,
            detail: String::new(),
            measured: Measured::new(),
        };
        let tests = [
            test("load.module", Status::Pass),
            test("load.taint", Status::Fail),
            test("load.cycles", Status::Skip),
        ];
        files::make_dir(&old.join("load.module")).unwrap();
        assert!(!link_logs(&old, &new, &tests));
        assert!(!new.join("load.module").exists(), "a link was left");
        files::make_dir(&old.join("load.taint")).unwrap();
        assert!(link_logs(&old, &new, &tests));
        assert!(new.join("load.taint").is_dir() && !new.join("load.cycles").exists());
    }
}
