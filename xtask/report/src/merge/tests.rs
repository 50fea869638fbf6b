// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shards of the rich run, put together again.

use proptest::{prelude::*, sample::Index};
use tidelock_model::{
    RunReport, Sha256,
    Status::{self, Error, Fail, Miss, Pass, Skip},
};

use super::{MergeError, merge, worst};
use crate::{PlannedCell, fixture};

fn plan() -> Vec<PlannedCell> {
    let cells = fixture::run().cells;
    let planned = |cell: tidelock_model::CellReport| PlannedCell {
        tests: cell.tests.iter().map(|test| test.name.clone()).collect(),
        kernel: cell.kernel,
        flavour: cell.flavour,
        arch: cell.arch,
        suite: cell.suite,
        version: cell.version,
    };
    cells.into_iter().map(planned).collect()
}

/// The shard `number` of `of`.
fn shard(number: usize, of: usize) -> RunReport {
    let mut report = fixture::run();
    let mut index = 0;
    report.cells.retain(|_| {
        index += 1;
        index % of == number
    });
    report.run = format!("shard-{number}");
    report.started += number as u64;
    report
}

#[test]
fn shards_make_the_run_again() {
    let whole = fixture::run();
    let merged = merge(&plan(), &[shard(1, 3), shard(0, 3), shard(2, 3)]).unwrap();
    assert_eq!(merged.cells, whole.cells);
    assert_eq!(merged.status, whole.status);
    assert_eq!(
        merged.duration_ms,
        whole.duration_ms + 2000,
        "from the first start to the last end"
    );
    assert_eq!(merged.run, "shard-0");
}

#[test]
fn a_cell_that_no_shard_reports_is_missing_with_all_its_tests() {
    let merged = merge(&plan(), &[shard(0, 2)]).unwrap();
    assert_eq!(merged.cells.len(), 10);
    let lost = &merged.cells[0];
    assert_eq!((lost.status, lost.tests.len()), (Miss, 8));
    assert!(lost.tests.iter().all(|test| test.status == Miss));
    assert!(
        lost.reason.starts_with("missing-result: "),
        "{}",
        lost.reason
    );
    assert_eq!(merged.status, Miss);
}

#[test]
fn a_second_run_of_a_shard_never_turns_a_failure_into_a_pass() {
    let mut again = fixture::run();
    for cell in &mut again.cells {
        cell.status = Pass;
    }
    let merged = merge(&plan(), &[again, fixture::run()]).unwrap();
    assert_eq!(merged.cells, fixture::run().cells);
}

#[test]
fn other_inputs_are_refused_by_name() {
    let mut other = shard(1, 2);
    other.lock_sha256 = Sha256::of(b"another lock");
    let error = merge(&plan(), &[shard(0, 2), other])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`lock_sha256`") && error.contains("shard-1"),
        "{error}"
    );
    let mut old = shard(1, 2);
    old.format = 0;
    assert!(matches!(
        merge(&plan(), &[shard(0, 2), old]),
        Err(MergeError::Format { .. })
    ));
    assert_eq!(merge(&plan(), &[]), Err(MergeError::Nothing));
    let error = merge(&plan()[1..], &[fixture::run()]).unwrap_err();
    assert!(matches!(error, MergeError::Unplanned { .. }), "{error}");
}

#[test]
fn the_status_of_a_run_is_its_worst_and_a_skip_counts_only_alone() {
    let cells = fixture::run().cells;
    let of = |statuses: &[Status]| {
        let cells: Vec<_> = statuses
            .iter()
            .map(|status| {
                let mut cell = cells[0].clone();
                cell.status = *status;
                cell
            })
            .collect();
        worst(&cells)
    };
    assert_eq!(of(&[Pass, Skip, Pass]), Pass);
    assert_eq!(of(&[Skip]), Skip);
    assert_eq!(of(&[Pass, Fail, Skip]), Fail);
    assert_eq!(of(&[Fail, Error]), Error);
    assert_eq!(of(&[Miss, Pass]), Miss);
    assert_eq!(of(&[]), Miss);
}

proptest! {
    #[test]
    fn the_order_of_the_reports_makes_no_difference(
        places in proptest::collection::vec(any::<Index>(), 4),
        statuses in proptest::collection::vec(0..5_usize, 40),
    ) {
        let mut reports: Vec<RunReport> = (0..4).map(|number| {
            let mut report = shard(0, 1);
            report.run = format!("shard-{number}");
            for (cell, status) in report.cells.iter_mut().zip(&statuses[number * 10..]) {
                cell.status = crate::view::STATUSES[*status];
            }
            report
        }).collect();
        let before = merge(&plan(), &reports);
        for (place, other) in places.iter().enumerate() {
            reports.swap(place, other.index(4));
        }
        prop_assert_eq!(before, merge(&plan(), &reports));
    }
}
