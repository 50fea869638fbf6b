// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Markdown (GitHub's dialect): `report.md`, and the summary of a CI step.

use std::fmt::Write as _;

use tidelock_model::{CellReport, RunReport, Status};

use crate::{text, view};

/// The whole of `report.md`: what it came to, what failed and how to see it again, the tables.
pub fn render(report: &RunReport) -> String {
    blocks(report).concat()
}

/// As [`render`], cut between two blocks so as not to exceed `limit` bytes, saying so.
///
/// A step's summary on GitHub is refused as a whole when it is longer than 1 MiB.
pub fn render_within(report: &RunReport, limit: usize) -> String {
    const NOTE: &str = "\n\nCut here: a step's summary has a limit. The whole is in `report.md`.\n";
    let blocks = blocks(report);
    if blocks.iter().map(String::len).sum::<usize>() <= limit {
        return blocks.concat();
    }
    let mut out = String::new();
    for block in blocks {
        if out.len() + block.len() + NOTE.len() > limit {
            break;
        }
        out.push_str(&block);
    }
    if out.len() + NOTE.len() <= limit {
        out.push_str(NOTE);
    }
    out
}

/// Pieces that can be left off from the end without breaking what stands before them.
fn blocks(report: &RunReport) -> Vec<String> {
    let mut blocks = vec![head(report)];
    let failing = view::failing(report);
    if !failing.is_empty() {
        blocks.push(format!("\n## To look at ({})\n", failing.len()));
        blocks.extend(failing.into_iter().map(failure));
    }
    blocks.push("\n## By series and flavour\n\n| series | flavour | cells | PASS | SKIP | FAIL | ERROR | MISS |\n|---|---|--:|--:|--:|--:|--:|--:|\n".into());
    let groups = view::groups(report);
    for group in &groups {
        let counts = view::STATUSES.map(|status| dash(group.count(status)));
        blocks.push(format!(
            "| {} | {} | {} | {} |\n",
            group.series,
            group.flavour,
            group.cells.len(),
            counts.join(" | ")
        ));
    }
    blocks.push("\n## Kernels\n\n| kernel | verdict | tests passed | build | boot | test | |\n|---|---|--:|--:|--:|--:|---|\n".into());
    blocks.extend(
        groups
            .iter()
            .flat_map(|group| &group.cells)
            .map(|cell| row(cell)),
    );
    blocks
}

fn head(report: &RunReport) -> String {
    let counts: Vec<String> = view::STATUSES
        .iter()
        .map(|status| (report.count(*status), status))
        .filter(|(count, _)| *count > 0)
        .map(|(count, status)| format!("{count} {status}"))
        .collect();
    let tests: Vec<String> = view::STATUSES
        .iter()
        .map(|status| (view::count_tests(report, *status), status))
        .filter(|(count, _)| *count > 0)
        .map(|(count, status)| format!("{count} {status}"))
        .collect();
    let cached = report.cells.iter().filter(|cell| cell.cached).count();
    format!(
        "# Tidelock matrix: {} {}\n\n\
         **{}** of {}{}. Tests: {}. Wall time {}.\n\n\
         | | |\n|---|---|\n\
         | run | {} |\n| started | {} |\n| tier | {} |\n| version | {} |\n| accelerator | {} |\n| qemu | {} |\n| matrix.lock | {} |\n",
        view::mark(report.status),
        report.status,
        if counts.is_empty() {
            "None".into()
        } else {
            counts.join(", ")
        },
        text::plural(report.cells.len(), "cell"),
        if cached > 0 {
            format!(" ({cached} from the cache)")
        } else {
            String::new()
        },
        if tests.is_empty() {
            "none".into()
        } else {
            tests.join(", ")
        },
        text::duration(report.duration_ms),
        code(&report.run),
        text::utc(report.started),
        report.tier,
        escape(&report.version),
        escape(&report.accelerator),
        escape(&report.qemu),
        code(&report.lock_sha256.to_hex()),
    )
}

fn failure(cell: &CellReport) -> String {
    let mut out = format!(
        "\n### {} {} {}\n\n{} {}, {} {}. Ended at **{}**: {}\n",
        view::mark(cell.status),
        cell.status,
        cell.kernel,
        cell.series,
        cell.flavour,
        escape(&cell.suite),
        escape(&cell.version),
        escape(&cell.stage),
        escape(&cell.reason),
    );
    let tests: Vec<_> = cell
        .tests
        .iter()
        .filter(|test| view::needs_attention(test.status))
        .collect();
    if !tests.is_empty() && tests.len() < cell.tests.len() {
        out.push('\n');
        for test in tests {
            let item = format!(
                "- {} {}: {}\n",
                test.status,
                code(&test.name),
                escape(&test.detail)
            );
            out.push_str(&item);
        }
    }
    if let Some(crash) = &cell.crash {
        let frames: Vec<&str> = std::iter::once(crash.headline.as_str())
            .chain(crash.frames.iter().map(String::as_str))
            .collect();
        let _ = write!(
            out,
            "\n<details><summary>Call trace</summary>\n\n{}\n</details>\n",
            fenced("text", &frames.join("\n"))
        );
    }
    out.push('\n');
    out.push_str(&fenced("sh", &cell.reproduce));
    out
}

fn row(cell: &CellReport) -> String {
    let passed = cell
        .tests
        .iter()
        .filter(|test| test.status == Status::Pass)
        .count();
    let time = |ms: Option<u64>| ms.map(text::duration).unwrap_or_default();
    let reason = if cell.cached && cell.reason.is_empty() {
        "cached".into()
    } else {
        escape(&text::clip(&cell.reason, 160))
    };
    format!(
        "| {} | {} {} | {} of {} | {} | {} | {} | {} |\n",
        code(cell.kernel.as_str()),
        view::mark(cell.status),
        cell.status,
        passed,
        cell.tests.len(),
        time(view::build_time(cell)),
        time(cell.durations_ms.get("boot").copied()),
        time(cell.durations_ms.get("test").copied()),
        reason,
    )
}

fn dash(count: usize) -> String {
    if count == 0 {
        return "·".into();
    }
    count.to_string()
}

/// Foreign text as plain text: no markup, no HTML, no mention of a user, no table cell.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text::one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '|' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Foreign text as a code span, in a table too.
pub(crate) fn code(text: &str) -> String {
    let text = text::one_line(text).replace('|', "\\|");
    if text.is_empty() {
        return text;
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Foreign text as a fenced block that it cannot close.
fn fenced(language: &str, text: &str) -> String {
    let text = text::lines(text);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}{language}\n{text}\n{fence}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        assert_eq!(
            escape("<img src=x> a|b @team *x* [l](u)\nsecond"),
            r"&lt;img src=x&gt; a\|b &#64;team \*x\* \[l\](u) second"
        );
        assert_eq!(code("a`b|c"), r"``a`b\|c``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(fenced("text", "a\n```\nb"), "````text\na\n```\nb\n````\n");
    }
}
