// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

/// A cell whose tests came to these.
fn cell(statuses: &[Status]) -> CellOutcome {
    let mut outcome = CellOutcome {
        status: Status::Pass,
        reason: String::new(),
        tests: Vec::new(),
        crash: None,
        durations_ms: Durations::new(),
    };
    for (at, status) in statuses.iter().enumerate() {
        let report = TestReport {
            name: format!("test.{at}"),
            status: *status,
            duration_ms: 1,
            detail: format!("reason-{at}: why"),
            measured: Measured::new(),
        };
        let reason = format!("{} ({})", report.detail, report.name);
        outcome.worse(report.status, &reason, None);
        outcome.tests.push(report);
    }
    outcome.settle();
    outcome
}

#[test]
fn a_cell_passes_only_when_a_test_did() {
    use Status::{Error, Fail, Pass, Skip};
    let skipped = "reason-0: why (test.0)";
    let cases: [(&[Status], Status, &str); 8] = [
        (&[], Error, "no-tests: the cell names no test"),
        (&[Skip], Skip, skipped),
        (&[Skip, Skip], Skip, skipped),
        (&[Skip, Pass], Pass, ""),
        (&[Pass], Pass, ""),
        (&[Skip, Fail], Fail, "reason-1: why (test.1)"),
        (&[Fail, Error, Error], Error, "reason-1: why (test.1)"),
        (&[Fail, Pass], Fail, "reason-0: why (test.0)"),
    ];
    for (statuses, status, reason) in cases {
        let outcome = cell(statuses);
        assert_eq!(outcome.status, status, "{statuses:?}");
        assert_eq!(outcome.reason, reason, "{statuses:?}");
    }
}
