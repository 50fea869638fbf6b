// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JUnit XML: a suite for each cell, its facts as properties.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use tidelock_model::{CellReport, RunReport, Status, TestReport};

use crate::{ReportError, text, view};

/// The whole of `junit.xml`.
pub fn render(report: &RunReport) -> Result<String, ReportError> {
    let mut junit = Report::new("tidelock");
    junit.set_time(Duration::from_millis(report.duration_ms));
    if let Some(moment) = text::moment(report.started) {
        junit.set_timestamp(moment);
    }
    junit.add_test_suites(report.cells.iter().map(suite));
    junit.to_string().map_err(|source| ReportError::JUnit {
        run: report.run.clone(),
        source,
    })
}

fn suite(cell: &CellReport) -> TestSuite {
    let mut suite = TestSuite::new(cell.kernel.as_str());
    suite.set_time(Duration::from_millis(view::total(cell)));
    for (name, value) in properties(cell) {
        suite.add_property(Property::new(name, value));
    }
    if let Some(case) = own_case(cell) {
        suite.add_test_case(case);
    }
    suite.add_test_cases(cell.tests.iter().map(|test| case(cell, test)));
    suite
}

fn properties(cell: &CellReport) -> Vec<(&'static str, String)> {
    let mut properties = vec![
        ("kernel", cell.kernel.to_string()),
        ("series", cell.series.to_string()),
        ("flavour", cell.flavour.to_string()),
        ("arch", cell.arch.to_string()),
        ("suite", cell.suite.clone()),
        ("version", cell.version.clone()),
        ("status", cell.status.to_string()),
        ("stage", cell.stage.clone()),
        ("accelerator", cell.accelerator.clone()),
        ("cached", cell.cached.to_string()),
        ("logs", cell.logs.clone()),
        ("reproduce", cell.reproduce.clone()),
    ];
    properties.extend(
        cell.module_sha256
            .map(|digest| ("module_sha256", digest.to_hex())),
    );
    properties
}

/// A cell can come to grief where no test tells of it; a reader that counts only test cases
/// would then see green. The cell itself becomes a case in that event.
fn own_case(cell: &CellReport) -> Option<TestCase> {
    let told = cell.tests.iter().any(|test| test.status == cell.status);
    if cell.status == Status::Pass || told {
        return None;
    }
    let mut case = TestCase::new(
        format!("stage.{}", cell.stage),
        status(cell, cell.status, &cell.reason),
    );
    case.set_classname(cell.kernel.as_str());
    Some(case)
}

fn case(cell: &CellReport, test: &TestReport) -> TestCase {
    let mut case = TestCase::new(test.name.as_str(), status(cell, test.status, &test.detail));
    case.set_classname(cell.kernel.as_str());
    case.set_time(Duration::from_millis(test.duration_ms));
    let measured: String = test
        .measured
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    match (test.status, measured.is_empty()) {
        (Status::Pass, _) => case.set_system_out(format!("{}\n{measured}", test.detail)),
        (_, false) => case.set_system_out(measured),
        (_, true) => &mut case,
    };
    case
}

fn status(cell: &CellReport, status: Status, reason: &str) -> TestCaseStatus {
    let mut outcome = match status {
        Status::Pass => return TestCaseStatus::success(),
        Status::Skip => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(reason);
            return skipped;
        }
        Status::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Status::Error | Status::Miss => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let verdict = text::verdict(reason);
    // "missing" is what JUnit has no word for.
    let kind = if verdict.is_empty() {
        status.as_str()
    } else {
        verdict
    };
    outcome.set_type(kind);
    outcome.set_message(reason);
    outcome.set_description(description(cell, reason));
    outcome
}

fn description(cell: &CellReport, reason: &str) -> String {
    let mut lines = vec![reason.to_owned()];
    if let Some(crash) = &cell.crash {
        lines.push(crash.headline.clone());
        lines.extend(crash.frames.iter().map(|frame| format!("  {frame}")));
    }
    lines.push(format!("logs: {}", cell.logs));
    lines.push(format!("reproduce: {}", cell.reproduce));
    lines.join("\n")
}
