// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is printed when a run has ended.

use std::fmt::Write as _;

use tidelock_model::{CellReport, RunReport};

use crate::{Paint, text, view};

/// The failures, each with its reason and the command that shows it again; then the counts.
pub fn render(report: &RunReport, paint: Paint) -> String {
    let mut out: String = view::failing(report)
        .into_iter()
        .map(|cell| failure(report, cell, paint) + "\n")
        .collect();
    out.push_str(&counts(report, paint));
    out.push_str(&closing(report, paint));
    out
}

fn failure(report: &RunReport, cell: &CellReport, paint: Paint) -> String {
    let mut out = format!(
        "{} {}  {}\n",
        paint.status(cell.status, &format!("{:<5}", cell.status)),
        paint.bold(cell.kernel.as_str()),
        paint.dim(&format!(
            "{} {}, ended at {}",
            cell.series,
            cell.flavour,
            text::one_line(&cell.stage)
        )),
    );
    let mut line = |label: &str, value: &str| {
        let value = text::one_line(value);
        if !value.is_empty() {
            let _ = writeln!(out, "      {} {value}", paint.dim(&format!("{label:<9}")));
        }
    };
    let (verdict, reason) = text::split_verdict(&cell.reason);
    line("verdict", verdict);
    if let Some(test) = view::telling_test(cell) {
        line("test", &test.name);
    }
    line("reason", reason);
    if let Some(frame) = cell.crash.as_ref().and_then(|crash| crash.frames.first()) {
        line("at", frame);
    }
    if !cell.logs.is_empty() {
        line(
            "logs",
            &format!("target/matrix/{}/{}", report.run, cell.logs),
        );
    }
    line("reproduce", &cell.reproduce);
    out
}

fn counts(report: &RunReport, paint: Paint) -> String {
    let mut head = format!("{:<6}", "");
    let mut cells = format!("{:<6}", "cells");
    let mut tests = format!("{:<6}", "tests");
    for status in view::STATUSES {
        let (of_cells, of_tests) = (report.count(status), view::count_tests(report, status));
        head.push_str(&paint.dim(&format!("{status:>7}")));
        for (line, count) in [(&mut cells, of_cells), (&mut tests, of_tests)] {
            let number = format!("{count:>7}");
            line.push_str(&if count == 0 {
                paint.dim(&number)
            } else {
                paint.status(status, &number)
            });
        }
    }
    format!("{head}\n{cells}\n{tests}\n")
}

fn closing(report: &RunReport, paint: Paint) -> String {
    let cached = report.cells.iter().filter(|cell| cell.cached).count();
    format!(
        "{} {} in {}{}, tier {}, {}\n",
        paint.status(report.status, report.status.as_str()),
        text::plural(report.cells.len(), "cell"),
        text::duration(report.duration_ms),
        if cached > 0 {
            format!(" ({cached} from the cache)")
        } else {
            String::new()
        },
        report.tier,
        text::one_line(&report.accelerator),
    )
}
