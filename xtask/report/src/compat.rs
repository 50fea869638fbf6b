// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `docs/compat.md`: which kernels the module is known to work on, from a run of the tier `full`.

use tidelock_model::{CellReport, RunReport, Status};

use crate::{
    markdown::{code, escape},
    text,
    view::{self, Group},
};

/// The name under which a test reports how deep the private stack was used, in bytes.
const HIGH_WATER: &str = "stack_high_water";

/// The whole of `docs/compat.md`. The same report gives the same bytes.
pub fn render(report: &RunReport) -> String {
    let groups = view::groups(report);
    let mut out = head(report);
    out.push_str(&overview(&groups));
    out.extend(groups.iter().map(section));
    out
}

fn head(report: &RunReport) -> String {
    let passed = report.count(Status::Pass);
    format!(
        "<!-- SPDX-License-Identifier: Apache-2.0 OR MIT -->\n\
         <!-- Generated from the report of `cargo xtask matrix --tier full`: do not edit. -->\n\
         # Compatible kernels\n\n\
         **{passed} of {}** passed on {}, tier {}, in {} of wall time.\n\n\
         | | |\n|---|---|\n\
         | version | {} |\n\
         | matrix.lock | {} |\n\
         | accelerator | {} |\n\
         | qemu | {} |\n\n\
         Build, boot and test are medians in the tables by series, and the test column is the\n\
         median of one test, from the restore of the machine to its verdict. Stack is the\n\
         high-water mark of the module's private stack in its self-test.\n",
        text::plural(report.cells.len(), "kernel"),
        text::date(report.started),
        report.tier,
        text::duration(report.duration_ms),
        escape(&report.version),
        code(&report.lock_sha256.to_hex()),
        escape(&report.accelerator),
        escape(&report.qemu),
    )
}

fn overview(groups: &[Group<'_>]) -> String {
    let mut out = String::from(
        "\n## By series and flavour\n\n\
         | series | flavour | kernels | passed | stack | build | boot | test |\n\
         |---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for group in groups {
        let median = |value: fn(&CellReport) -> Option<u64>| {
            view::median(group.cells.iter().filter_map(|cell| value(cell)))
        };
        let highest = group.cells.iter().filter_map(|cell| high_water(cell)).max();
        let line = format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            group.series,
            group.flavour,
            group.cells.len(),
            group.count(Status::Pass),
            size(highest),
            time(median(view::build_time)),
            time(median(boot_time)),
            time(median(test_time)),
        );
        out.push_str(&line);
    }
    out
}

fn section(group: &Group<'_>) -> String {
    let mut out = format!(
        "\n## {} {}\n\n\
         | kernel | suite | package | verdict | stack | build | boot | test |\n\
         |---|---|---|---|--:|--:|--:|--:|\n",
        group.series, group.flavour
    );
    for cell in &group.cells {
        let line = format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            code(cell.kernel.as_str()),
            escape(&cell.suite),
            escape(&cell.version),
            outcome(cell),
            size(high_water(cell)),
            time(view::build_time(cell)),
            time(boot_time(cell)),
            time(test_time(cell)),
        );
        out.push_str(&line);
    }
    out
}

fn outcome(cell: &CellReport) -> String {
    let verdict = text::verdict(&cell.reason);
    let word = format!("{} {}", view::mark(cell.status), cell.status);
    if verdict.is_empty() {
        return word;
    }
    format!("{word} {}", code(verdict))
}

/// The deepest use of the private stack that any test of the cell reported.
fn high_water(cell: &CellReport) -> Option<u64> {
    cell.tests
        .iter()
        .filter_map(|test| test.measured.get(HIGH_WATER)?.parse().ok())
        .max()
}

fn boot_time(cell: &CellReport) -> Option<u64> {
    cell.durations_ms.get("boot").copied()
}

fn test_time(cell: &CellReport) -> Option<u64> {
    let ran = cell.tests.iter().filter(|test| test.duration_ms > 0);
    view::median(ran.map(|test| test.duration_ms))
}

fn time(ms: Option<u64>) -> String {
    ms.map(text::duration).unwrap_or_default()
}

fn size(bytes: Option<u64>) -> String {
    bytes.map(text::bytes).unwrap_or_default()
}
