// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A run of the matrix: cells through their stages side by side, and the report of it.

pub(crate) mod build;
mod capabilities;
pub(crate) mod cell;
pub(crate) mod core;
pub(crate) mod ending;
pub(crate) mod lab;
pub(crate) mod modules;
pub(crate) mod programs;
pub(crate) mod results;
pub(crate) mod runtime;
pub(crate) mod schedule;
pub(crate) mod selection;
pub(crate) mod sources;
mod sparing;
pub(crate) mod userland;

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use tidelock_host::files;
use tidelock_matrix::Cell;
use tidelock_model::{CellReport, REPORT_FORMAT, RunReport};
use tidelock_report::{History, Live};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

use lab::Lab;

/// Runs all `cells`, whatever becomes of each, and writes the report.
pub(crate) async fn run(
    lab: Arc<Lab>,
    cells: Vec<Cell>,
    jobs: NonZeroUsize,
    live: Arc<Live>,
) -> Result<RunReport> {
    let (started, clock) = (SystemTime::now(), Instant::now());
    files::make_dir(&lab.run_dir)?;
    let order: Vec<_> = cells
        .iter()
        .map(|cell| cell.kernel.release.clone())
        .collect();
    let mut reports = Vec::new();
    let mut todo = Vec::new();
    for cell in cells {
        match (!lab.rerun)
            .then(|| cell::remembered(&lab, &cell))
            .flatten()
        {
            Some(report) => reports.push(report),
            None => todo.push(cell),
        }
    }
    let durations = lab.cache.join("durations.json");
    let history = History::load(&durations);
    let recorded = |cell: &Cell| history.estimate(&cell.kernel.release, cell.kernel.flavour);
    let todo = schedule::longest_first(todo, recorded);
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let expected: Vec<_> = reports
        .iter()
        .map(|report| (report.kernel.clone(), Some(0)))
        .chain(todo.iter().map(|cell| {
            (
                cell.kernel.release.clone(),
                recorded(cell).map(milliseconds),
            )
        }))
        .collect();
    live.plan(&expected, jobs.get());
    for report in &reports {
        live.cell_done(report);
    }
    reports.extend(all(&lab, todo, jobs, &live).await?);
    reports.sort_by_key(|report| order.iter().position(|release| *release == report.kernel));
    let report = summary(&lab, reports, started, clock.elapsed());
    // Without the durations the next run is scheduled by a guess, and no less true.
    let _ = History::update(&durations, &report);
    tidelock_report::write(&report, &lab.run_dir)?;
    tidelock_report::link_latest(&lab.run_dir)?;
    Ok(report)
}

/// Puts cells through their stages, `jobs` at a time, in their order.
///
/// Packages are fetched ahead of the cell that needs them, beside the work on others.
async fn all(
    lab: &Arc<Lab>,
    cells: Vec<Cell>,
    jobs: NonZeroUsize,
    live: &Arc<Live>,
) -> Result<Vec<CellReport>> {
    let permits = Arc::new(Semaphore::new(jobs.get()));
    let mut tasks = JoinSet::new();
    let mut reports = Vec::new();
    for cell in cells {
        // What cannot be had is reported by the cell itself.
        let _ = cell::fetch(lab, &cell).await;
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let (lab, live) = (Arc::clone(lab), Arc::clone(live));
        tasks.spawn(async move {
            let report = guarded(&lab, cell, Arc::clone(&live)).await;
            live.cell_done(&report);
            drop(permit);
            report
        });
        while let Some(done) = tasks.try_join_next() {
            reports.push(done?);
        }
    }
    while let Some(done) = tasks.join_next().await {
        reports.push(done?);
    }
    Ok(reports)
}

/// One cell in a task of its own, so that a panic in it is that cell's end and no other's.
async fn guarded(lab: &Arc<Lab>, cell: Cell, live: Arc<Live>) -> CellReport {
    let task = {
        let (lab, cell) = (Arc::clone(lab), cell.clone());
        tokio::spawn(async move {
            let release = &cell.kernel.release;
            cell::run(&lab, &cell, &|stage: &str| live.stage(release, stage)).await
        })
    };
    // Dropped with the future when the run is interrupted.
    match AbortOnDropHandle::new(task).await {
        Ok(report) => report,
        Err(error) => cell::broken(lab, &cell, &error),
    }
}

fn summary(
    lab: &Lab,
    cells: Vec<CellReport>,
    started: SystemTime,
    duration: Duration,
) -> RunReport {
    let started = started
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let name = lab
        .run_dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    RunReport {
        format: REPORT_FORMAT,
        run: name,
        version: env!("CARGO_PKG_VERSION").into(),
        started,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        tier: lab.tier,
        complete: lab.complete,
        missing: lab.missing.clone(),
        lock_sha256: lab.plans.lock_sha256,
        accelerator: lab.engine.describe(),
        qemu: lab.engine.qemu.banner.clone(),
        status: tidelock_report::worst(&cells),
        cells,
    }
}
