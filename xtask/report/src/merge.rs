// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The shards of one plan, put together into one report.

use std::collections::{BTreeMap, BTreeSet};

use tidelock_model::{CellReport, REPORT_FORMAT, Release, RunReport, Status};

use crate::PlannedCell;

/// Reports that are not shards of one run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// There was none.
    #[error("no report to merge: name at least one report.json")]
    Nothing,
    /// They were made from different inputs.
    #[error(
        "the reports {first} and {second} differ in `{field}` ({left} and {right}): merge only shards of one plan, made by one version from one matrix.lock"
    )]
    Differ {
        /// The field that differs.
        field: &'static str,
        /// The first run.
        first: String,
        /// The run that differs from it.
        second: String,
        /// The value of the first.
        left: String,
        /// The value of the other.
        right: String,
    },
    /// A report is of another format.
    #[error("the report {run} has format {format}; this version reads format {REPORT_FORMAT}")]
    Format {
        /// The run.
        run: String,
        /// What it says.
        format: u32,
    },
    /// A report speaks of a kernel that the plan does not have.
    #[error(
        "the report {run} holds {kernel}, which is not in the plan: use the matrix.lock and the tier it was run with"
    )]
    Unplanned {
        /// The run.
        run: String,
        /// The kernel.
        kernel: Release,
    },
}

/// Puts the reports of the shards together, in the order of the plan.
///
/// Of two results for one kernel the worse stays: a shard that was run twice must not turn a
/// failure into a pass. A planned cell without a result is a MISS. The order of the reports
/// makes no difference.
pub fn merge(plan: &[PlannedCell], reports: &[RunReport]) -> Result<RunReport, MergeError> {
    let first = reports
        .iter()
        .min_by_key(|report| (report.started, &report.run))
        .ok_or(MergeError::Nothing)?;
    for report in reports {
        same_plan(first, report)?;
    }
    let mut best = results(plan, reports)?;
    let cells: Vec<CellReport> = plan
        .iter()
        .map(|cell| {
            best.remove(&cell.kernel).cloned().unwrap_or_else(|| {
                let reason = "missing-result: no shard reported this cell";
                cell.without_result(first.tier, Status::Miss, "plan", reason)
            })
        })
        .collect();
    let end = reports
        .iter()
        .map(|report| (report.started.saturating_mul(1000)).saturating_add(report.duration_ms))
        .max()
        .unwrap_or(0);
    Ok(RunReport {
        duration_ms: end.saturating_sub(first.started.saturating_mul(1000)),
        accelerator: joined(reports, |report| &report.accelerator),
        qemu: joined(reports, |report| &report.qemu),
        complete: reports.iter().all(|report| report.complete),
        status: worst(&cells),
        cells,
        ..first.clone()
    })
}

/// The status of a run of `cells`: the worst, but a SKIP only where nothing ran. A run without
/// cells proved nothing and is a MISS.
pub fn worst(cells: &[CellReport]) -> Status {
    let ran = |cell: &&CellReport| cell.status != Status::Skip;
    cells
        .iter()
        .filter(ran)
        .map(|cell| cell.status)
        .max()
        .unwrap_or(if cells.is_empty() {
            Status::Miss
        } else {
            Status::Skip
        })
}

fn results<'a>(
    plan: &[PlannedCell],
    reports: &'a [RunReport],
) -> Result<BTreeMap<Release, &'a CellReport>, MergeError> {
    let planned: BTreeSet<&Release> = plan.iter().map(|cell| &cell.kernel).collect();
    let mut best: BTreeMap<Release, &CellReport> = BTreeMap::new();
    for report in reports {
        for cell in &report.cells {
            if !planned.contains(&cell.kernel) {
                return Err(MergeError::Unplanned {
                    run: report.run.clone(),
                    kernel: cell.kernel.clone(),
                });
            }
            let kept = best.entry(cell.kernel.clone()).or_insert(cell);
            if rank(cell) > rank(kept) {
                *kept = cell;
            }
        }
    }
    Ok(best)
}

/// Worse is greater; between equals the text decides, so that the order of shards does not.
fn rank(cell: &CellReport) -> (Status, String) {
    (cell.status, format!("{cell:?}"))
}

fn same_plan(first: &RunReport, other: &RunReport) -> Result<(), MergeError> {
    if other.format != REPORT_FORMAT {
        return Err(MergeError::Format {
            run: other.run.clone(),
            format: other.format,
        });
    }
    let fields = [
        ("version", first.version.clone(), other.version.clone()),
        ("tier", first.tier.to_string(), other.tier.to_string()),
        (
            "lock_sha256",
            first.lock_sha256.to_hex(),
            other.lock_sha256.to_hex(),
        ),
    ];
    for (field, left, right) in fields {
        if left != right {
            return Err(MergeError::Differ {
                field,
                first: first.run.clone(),
                second: other.run.clone(),
                left,
                right,
            });
        }
    }
    Ok(())
}

fn joined(reports: &[RunReport], field: impl Fn(&RunReport) -> &String) -> String {
    let values: BTreeSet<&str> = reports
        .iter()
        .map(|report| field(report).as_str())
        .collect();
    values.into_iter().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
