// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page: one file that asks nothing of anyone, made from `templates/`.
//!
//! The table and the failures are plain HTML, so that they are there without JavaScript; the
//! details of each cell are data that the script puts on the page as text nodes. The content
//! security policy names the one script and the one style sheet by digest: even text that
//! escaped into markup could neither run nor load anything.

use askama::Template;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use tidelock_model::{CellReport, Flavour, RunReport, Series, Sha256, Status, TestReport};

use crate::{LogFile, ReportError, text, view};

const CSS: &str = include_str!("../templates/page.css");
const JS: &str = concat!(
    include_str!("../templates/dom.js"),
    include_str!("../templates/drawer.js"),
    include_str!("../templates/grid.js"),
);

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    report: &'a RunReport,
    policy: String,
    css: &'a str,
    js: &'a str,
    data: String,
    started: String,
    wall: String,
    lock_short: String,
    passed: usize,
    rest: String,
    cached: usize,
    failing: usize,
    tests_passed: usize,
    tests_total: usize,
    share_width: usize,
    share_label: String,
    shares: Vec<Share>,
    clusters: Vec<Cluster<'a>>,
    series: Vec<Series>,
    flavours: Vec<Flavour>,
    areas: Vec<Area<'a>>,
    columns: Vec<Column<'a>>,
    groups: Vec<Section<'a>>,
    legend: [(Status, &'static str); 5],
}

/// A status that occurs, and its part of the bar.
struct Share {
    status: Status,
    start: usize,
    count: usize,
}

/// The failures that share a status and a named verdict.
struct Cluster<'a> {
    status: Status,
    verdict: &'a str,
    rows: Vec<Failure<'a>>,
    more: Vec<Failure<'a>>,
}

impl Cluster<'_> {
    /// How many are shown at once.
    const AT_ONCE: usize = 6;

    fn total(&self) -> usize {
        self.rows.len() + self.more.len()
    }
}

struct Failure<'a> {
    index: usize,
    cell: &'a CellReport,
    test: Option<&'a TestReport>,
    why: String,
}

struct Area<'a> {
    name: &'a str,
    span: usize,
}

struct Column<'a> {
    full: &'a str,
    short: &'a str,
    first: bool,
}

struct Section<'a> {
    series: Series,
    flavour: Flavour,
    counts: Vec<(Status, usize)>,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    index: usize,
    cell: &'a CellReport,
    build: String,
    boot: String,
    test: String,
    reason: String,
    tests: Vec<Mark>,
}

/// A test in the table: its place among the tests of its cell, absent where it was not planned.
struct Mark {
    index: usize,
    status: Option<Status>,
    first: bool,
}

/// What the script knows of a cell.
#[derive(Serialize)]
struct CellData<'a> {
    #[serde(flatten)]
    cell: &'a CellReport,
    stages: Vec<(&'a str, u64)>,
    files: &'a [LogFile],
}

/// The page of `report`; `logs` are the files of its cells, in their order.
pub fn render(report: &RunReport, logs: &[Vec<LogFile>]) -> Result<String, ReportError> {
    let columns = columns(report);
    let failing = view::failing(report).len();
    let page = Page {
        report,
        policy: policy(),
        css: CSS,
        js: JS,
        data: data(report, logs)?,
        started: text::utc(report.started),
        wall: text::duration(report.duration_ms),
        lock_short: report.lock_sha256.to_hex().chars().take(12).collect(),
        passed: report.count(Status::Pass),
        rest: rest(report),
        cached: report.cells.iter().filter(|cell| cell.cached).count(),
        failing,
        tests_passed: view::count_tests(report, Status::Pass),
        tests_total: report.cells.iter().map(|cell| cell.tests.len()).sum(),
        share_width: report.cells.len().max(1),
        share_label: share_label(report),
        shares: shares(report),
        clusters: clusters(report),
        series: distinct(report, |cell| cell.series),
        flavours: distinct(report, |cell| cell.flavour),
        areas: areas(&columns),
        groups: groups(report, &columns),
        columns,
        legend: [
            (Status::Pass, "ran, every expectation held"),
            (Status::Skip, "not run, for a stated reason"),
            (Status::Fail, "an expectation did not hold"),
            (Status::Error, "the factory’s own fault"),
            (Status::Miss, "no longer to be had, or no result"),
        ],
    };
    page.render().map_err(|source| ReportError::Html {
        run: report.run.clone(),
        source,
    })
}

fn policy() -> String {
    let digest = |text: &str| BASE64_STANDARD.encode(Sha256::of(text.as_bytes()).as_bytes());
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        digest(JS),
        digest(CSS)
    )
}

/// JSON that may stand in a `script` element: no `<` can close it, no `<!--` can open in it.
fn data(report: &RunReport, logs: &[Vec<LogFile>]) -> Result<String, ReportError> {
    let cells: Vec<CellData<'_>> = report
        .cells
        .iter()
        .enumerate()
        .map(|(index, cell)| CellData {
            cell,
            stages: view::stages(&cell.durations_ms),
            files: logs.get(index).map_or(&[], Vec::as_slice),
        })
        .collect();
    let json = serde_json::to_string(&cells).map_err(|source| ReportError::Json {
        run: report.run.clone(),
        source,
    })?;
    Ok(json
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026"))
}

fn shares(report: &RunReport) -> Vec<Share> {
    let mut start = 0;
    let mut shares = Vec::new();
    for status in view::STATUSES {
        let count = report.count(status);
        if count > 0 {
            shares.push(Share {
                status,
                start,
                count,
            });
            start += count;
        }
    }
    shares
}

/// `4 failed, 1 in error`: what did not pass, in words.
fn rest(report: &RunReport) -> String {
    let parts: Vec<String> = shares(report)
        .iter()
        .filter(|share| share.status != Status::Pass)
        .map(|share| format!("{} {}", share.count, view::word(share.status)))
        .collect();
    parts.join(", ")
}

fn share_label(report: &RunReport) -> String {
    let parts: Vec<String> = shares(report)
        .iter()
        .map(|share| format!("{} {}", share.count, share.status))
        .collect();
    format!("Kernels by status: {}", parts.join(", "))
}

fn distinct<T: Ord>(report: &RunReport, field: impl Fn(&CellReport) -> T) -> Vec<T> {
    let values: std::collections::BTreeSet<T> = report.cells.iter().map(field).collect();
    values.into_iter().collect()
}

/// The place of a cell in the data of the script.
fn index_of(report: &RunReport, cell: &CellReport) -> usize {
    report
        .cells
        .iter()
        .position(|other| std::ptr::eq(other, cell))
        .unwrap_or(0)
}

fn clusters(report: &RunReport) -> Vec<Cluster<'_>> {
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for cell in view::failing(report) {
        let (verdict, why) = text::split_verdict(&cell.reason);
        let row = Failure {
            index: index_of(report, cell),
            cell,
            test: view::telling_test(cell),
            why: text::one_line(why),
        };
        let known = clusters
            .iter_mut()
            .find(|cluster| cluster.status == cell.status && cluster.verdict == verdict);
        match known {
            Some(cluster) if cluster.rows.len() < Cluster::AT_ONCE => cluster.rows.push(row),
            Some(cluster) => cluster.more.push(row),
            None => clusters.push(Cluster {
                status: cell.status,
                verdict,
                rows: vec![row],
                more: Vec::new(),
            }),
        }
    }
    // The module's own failures first, the largest of them on top; stable for the rest.
    clusters.sort_by_key(|cluster| (cluster.status, std::cmp::Reverse(cluster.total())));
    clusters
}

fn columns(report: &RunReport) -> Vec<Column<'_>> {
    let mut last = None;
    view::test_names(report)
        .into_iter()
        .map(|full| {
            let area = view::area(full);
            let first = last.replace(area) != Some(area);
            Column {
                full,
                short: full.split_once('.').map_or(full, |(_, short)| short),
                first,
            }
        })
        .collect()
}

fn areas<'a>(columns: &[Column<'a>]) -> Vec<Area<'a>> {
    let mut areas: Vec<Area<'a>> = Vec::new();
    for column in columns {
        match areas.last_mut() {
            Some(area) if !column.first => area.span += 1,
            _ => areas.push(Area {
                name: view::area(column.full),
                span: 1,
            }),
        }
    }
    areas
}

fn groups<'a>(report: &'a RunReport, columns: &[Column<'_>]) -> Vec<Section<'a>> {
    let counts = |group: &view::Group<'_>| {
        view::STATUSES
            .iter()
            .map(|status| (*status, group.count(*status)))
            .filter(|(_, count)| *count > 0)
            .collect()
    };
    view::groups(report)
        .into_iter()
        .map(|group| Section {
            series: group.series,
            flavour: group.flavour,
            counts: counts(&group),
            rows: group
                .cells
                .iter()
                .map(|cell| row(report, cell, columns))
                .collect(),
        })
        .collect()
}

fn row<'a>(report: &RunReport, cell: &'a CellReport, columns: &[Column<'_>]) -> Row<'a> {
    let time = |ms: Option<u64>| ms.map(text::duration).unwrap_or_default();
    let mark = |column: &Column<'_>| {
        let index = cell.tests.iter().position(|test| test.name == column.full);
        Mark {
            index: index.unwrap_or(0),
            status: index.and_then(|index| Some(cell.tests.get(index)?.status)),
            first: column.first,
        }
    };
    Row {
        index: index_of(report, cell),
        cell,
        build: time(view::build_time(cell)),
        boot: time(cell.durations_ms.get("boot").copied()),
        test: time(cell.durations_ms.get("test").copied()),
        reason: text::clip(&text::one_line(&cell.reason), 200),
        tests: columns.iter().map(mark).collect(),
    }
}

/// What the template asks of a status.
trait Shown {
    /// Its class in the style sheet.
    fn class(&self) -> &'static str;
    /// Its mark.
    fn mark(&self) -> &'static str;
}

impl Shown for Status {
    fn class(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Miss => "miss",
        }
    }

    fn mark(&self) -> &'static str {
        view::mark(*self)
    }
}
