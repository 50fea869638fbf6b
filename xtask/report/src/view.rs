// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every format shows, drawn from the report once: order, groups, counts, medians.

use std::{cmp::Ordering, collections::BTreeMap};

use tidelock_model::{CellReport, Durations, Flavour, RunReport, Series, Status, TestReport};

/// Every status, best first.
pub(crate) const STATUSES: [Status; 5] = [
    Status::Pass,
    Status::Skip,
    Status::Fail,
    Status::Error,
    Status::Miss,
];

/// The stages in the order they run.
const STAGES: [&str; 7] = [
    "fetch", "probe", "compile", "unpack", "check", "boot", "test",
];

/// The stages that make a module out of a kernel's headers.
const BUILD: [&str; 3] = ["probe", "compile", "check"];

/// A mark that tells the status without colour.
pub(crate) const fn mark(status: Status) -> &'static str {
    match status {
        Status::Pass => "✓",
        Status::Skip => "–",
        Status::Fail => "✗",
        Status::Error => "!",
        Status::Miss => "?",
    }
}

/// What has become of so many cells.
pub(crate) const fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "passed",
        Status::Skip => "skipped",
        Status::Fail => "failed",
        Status::Error => "in error",
        Status::Miss => "missing",
    }
}

/// Whether somebody has to look at it.
pub(crate) const fn needs_attention(status: Status) -> bool {
    matches!(status, Status::Fail | Status::Error | Status::Miss)
}

/// The cells that share a series and a flavour, by release.
pub(crate) struct Group<'a> {
    pub(crate) series: Series,
    pub(crate) flavour: Flavour,
    pub(crate) cells: Vec<&'a CellReport>,
}

impl Group<'_> {
    /// How many of its cells have `status`.
    pub(crate) fn count(&self, status: Status) -> usize {
        self.cells
            .iter()
            .filter(|cell| cell.status == status)
            .count()
    }
}

/// The cells by series, then flavour, then release.
pub(crate) fn groups(report: &RunReport) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(Series, Flavour), Vec<&CellReport>> = BTreeMap::new();
    for cell in &report.cells {
        groups
            .entry((cell.series, cell.flavour))
            .or_default()
            .push(cell);
    }
    groups
        .into_iter()
        .map(|((series, flavour), mut cells)| {
            cells.sort_by(|a, b| natural(a.kernel.as_str(), b.kernel.as_str()));
            Group {
                series,
                flavour,
                cells,
            }
        })
        .collect()
}

/// The cells that somebody has to look at, in the order of the groups.
pub(crate) fn failing(report: &RunReport) -> Vec<&CellReport> {
    groups(report)
        .into_iter()
        .flat_map(|group| group.cells)
        .filter(|cell| needs_attention(cell.status))
        .collect()
}

/// The test that tells most of a cell: the first that failed, else the first without a verdict.
///
/// None where no test got as far as to tell: the reason of the cell is then that of each.
pub(crate) fn telling_test(cell: &CellReport) -> Option<&TestReport> {
    let first = |status| cell.tests.iter().find(|test| test.status == status);
    if cell.tests.iter().all(|test| test.duration_ms == 0) {
        return None;
    }
    first(Status::Fail)
        .or_else(|| first(Status::Error))
        .or_else(|| first(Status::Miss))
}

/// The names of all tests, areas kept together, both in the order they first appear.
pub(crate) fn test_names(report: &RunReport) -> Vec<&str> {
    let mut areas: Vec<(&str, Vec<&str>)> = Vec::new();
    for test in report.cells.iter().flat_map(|cell| &cell.tests) {
        let name = test.name.as_str();
        let area = area(name);
        let index = areas
            .iter()
            .position(|(known, _)| *known == area)
            .unwrap_or_else(|| {
                areas.push((area, Vec::new()));
                areas.len() - 1
            });
        if let Some((_, names)) = areas.get_mut(index)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    areas.into_iter().flat_map(|(_, names)| names).collect()
}

/// What stands before the first dot of a test's name.
pub(crate) fn area(test: &str) -> &str {
    test.split_once('.').map_or("", |(area, _)| area)
}

/// How many tests of all cells have `status`.
pub(crate) fn count_tests(report: &RunReport, status: Status) -> usize {
    report
        .cells
        .iter()
        .flat_map(|cell| &cell.tests)
        .filter(|test| test.status == status)
        .count()
}

/// The durations in the order the stages run; unknown stages follow by name.
pub(crate) fn stages(durations: &Durations) -> Vec<(&str, u64)> {
    let mut stages: Vec<(&str, u64)> = durations
        .iter()
        .map(|(stage, ms)| (stage.as_str(), *ms))
        .collect();
    let place = |stage: &str| STAGES.iter().position(|known| *known == stage);
    stages.sort_by_key(|(stage, _)| place(stage).unwrap_or(STAGES.len()));
    stages
}

/// The time of all stages.
pub(crate) fn total(cell: &CellReport) -> u64 {
    cell.durations_ms
        .values()
        .fold(0, |sum, ms| sum.saturating_add(*ms))
}

/// The time it took to make the module, when it came that far.
pub(crate) fn build_time(cell: &CellReport) -> Option<u64> {
    cell.durations_ms.get("compile")?;
    Some(
        BUILD
            .iter()
            .filter_map(|stage| cell.durations_ms.get(*stage))
            .fold(0, |sum, ms| sum.saturating_add(*ms)),
    )
}

/// The middle value; of two middle values the lower.
pub(crate) fn median(values: impl IntoIterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.into_iter().collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// Compares as people do: runs of digits by their value, so that 6.1.0-9 comes before 6.1.0-10.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (l, r) = (part(left), part(right));
        let order = match (l, r) {
            ("", "") => return a.cmp(b),
            _ if is_number(l) && is_number(r) => {
                let (l, r) = (l.trim_start_matches('0'), r.trim_start_matches('0'));
                l.len().cmp(&r.len()).then(l.cmp(r))
            }
            _ => l.cmp(r),
        };
        if order != Ordering::Equal {
            return order;
        }
        left = left.strip_prefix(l).unwrap_or_default();
        right = right.strip_prefix(r).unwrap_or_default();
    }
}

/// The leading run of digits or of other characters.
fn part(text: &str) -> &str {
    let digits = is_number(text);
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn releases_sort_by_number() {
        let mut releases = [
            "6.12.117+deb13-amd64",
            "6.1.0-10-amd64",
            "6.12.9+deb13-amd64",
            "6.1.0-9-amd64",
        ];
        releases.sort_by(|a, b| natural(a, b));
        assert_eq!(
            releases,
            [
                "6.1.0-9-amd64",
                "6.1.0-10-amd64",
                "6.12.9+deb13-amd64",
                "6.12.117+deb13-amd64",
            ]
        );
    }

    #[test]
    fn the_median_is_a_measured_value() {
        assert_eq!(median([]), None);
        assert_eq!(median([3]), Some(3));
        assert_eq!(median([9, 1, 5]), Some(5));
        assert_eq!(median([9, 1, 5, 7]), Some(5));
    }

    proptest! {
        #[test]
        fn natural_order_is_total(a in "[0-9a-c.]{0,6}", b in "[0-9a-c.]{0,6}", c in "[0-9a-c.é]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            let mut all = [&a, &b, &c];
            all.sort_by(|a, b| natural(a, b));
            prop_assert!(natural(all[0], all[2]) != Ordering::Greater);
        }
    }
}
