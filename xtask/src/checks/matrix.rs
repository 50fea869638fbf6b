// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The quick tier, as a step of the tests.

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tidelock_host::files;
use tidelock_model::{RunReport, Status};

use super::{Context, Tally};
use crate::{cli::Cli, exit::Exit};

/// Runs the command in this process: the steps before have had cargo replace our own program.
pub(super) fn quick(context: &Context) -> Result<Tally> {
    let words = ["xtask", "matrix", "--tier", "quick"].map(str::to_owned);
    let cli = Cli::try_parse_from(words.into_iter().chain(context.arguments()))?;
    let passed = cli.run()? == Exit::Passed;
    if !passed {
        let report = context.root.join("target/matrix/latest/report.json");
        let read = files::read(&report).context("the run has left no report")?;
        for reason in reasons(&serde_json::from_slice(&read)?) {
            context.blame(reason);
        }
    }
    Ok(Tally::one(passed))
}

/// Every test that did not hold, or was not to be had, by kernel; and every kernel on which that
/// was none of its tests.
fn reasons(report: &RunReport) -> Vec<String> {
    let good = |status: Status| matches!(status, Status::Pass | Status::Skip);
    let mut reasons = Vec::new();
    for cell in report.cells.iter().filter(|cell| !good(cell.status)) {
        let (kernel, before) = (&cell.kernel, reasons.len());
        for test in cell.tests.iter().filter(|test| !good(test.status)) {
            let (name, status, detail) = (&test.name, test.status, &test.detail);
            reasons.push(format!("{kernel} {name}: {status} {detail}"));
        }
        if reasons.len() == before {
            let (status, stage, reason) = (cell.status, &cell.stage, &cell.reason);
            reasons.push(format!("{kernel} {stage}: {status} {reason}"));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cell(status: &str, tests: &[[&str; 2]]) -> Value {
        let test = |[name, status]: &[&str; 2]| json!({"name": name, "status": status, "duration_ms": 1, "detail": "told"});
        json!({
            "kernel": "6.1.0-9-amd64", "series": "6.1", "flavour": "standard", "arch": "amd64",
            "suite": "bookworm", "version": "6.1.27-1", "status": status, "stage": "compile",
            "reason": "build-failed: an error", "accelerator": "", "cached": false,
            "durations_ms": {}, "tests": tests.iter().map(test).collect::<Vec<_>>(),
            "logs": "", "reproduce": ""
        })
    }

    #[test]
    fn each_test_that_did_not_hold_is_named_and_a_cell_where_none_is() {
        let report: RunReport = serde_json::from_value(json!({
            "format": 1, "run": "1-1", "version": "0.1.0", "started": 1, "duration_ms": 1,
            "tier": "quick", "lock_sha256": "0".repeat(64), "accelerator": "tcg", "qemu": "",
            "status": "FAIL",
            "cells": [
                cell("PASS", &[["load.module", "PASS"]]),
                cell("FAIL", &[["a", "FAIL"], ["b", "PASS"], ["c", "SKIP"], ["d", "ERROR"]]),
                cell("FAIL", &[["a", "SKIP"]]),
            ]
        }))
        .unwrap();
        assert_eq!(
            reasons(&report),
            [
                "6.1.0-9-amd64 a: FAIL told",
                "6.1.0-9-amd64 d: ERROR told",
                "6.1.0-9-amd64 compile: FAIL build-failed: an error",
            ]
        );
    }
}
