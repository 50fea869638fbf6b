// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What each stage of each cell took, kept between runs: the scheduler starts the longest first,
//! shards are balanced by it, and the live table guesses the time that is left.
//!
//! Only a guess hangs on it, never a verdict: a file that is absent, broken or of another format
//! is an empty history.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use tidelock_host::files::{self, FileError};
use tidelock_model::{CellReport, Durations, Flavour, Release, RunReport, Series};

use crate::view;

/// Raised when the meaning of a field changes; another format is read as an empty history.
const FORMAT: u32 = 1;

/// Left out of an estimate: it hangs on what the cache holds, not on the cell.
const FETCH: &str = "fetch";

/// The recorded durations of every cell that ever ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct History {
    format: u32,
    cells: BTreeMap<Release, Recorded>,
}

/// What one cell took.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Recorded {
    flavour: Flavour,
    stages_ms: Durations,
}

impl Default for History {
    fn default() -> Self {
        Self {
            format: FORMAT,
            cells: BTreeMap::new(),
        }
    }
}

impl History {
    /// This history and what `report` adds to it. A stage that ran before counts for half, so
    /// that one noisy run does not turn the order around. Cells from the cache add nothing.
    #[must_use]
    pub fn with(mut self, report: &RunReport) -> Self {
        for cell in report.cells.iter().filter(|cell| !cell.cached) {
            self.add(cell);
        }
        self
    }

    fn add(&mut self, cell: &CellReport) {
        if cell.durations_ms.is_empty() {
            return;
        }
        let recorded = self
            .cells
            .entry(cell.kernel.clone())
            .or_insert_with(|| Recorded {
                flavour: cell.flavour,
                stages_ms: Durations::new(),
            });
        recorded.flavour = cell.flavour;
        // A cell that ended early says nothing of the stages it did not reach: those stay.
        for (stage, new) in &cell.durations_ms {
            recorded
                .stages_ms
                .entry(stage.clone())
                .and_modify(|old| *old = old.midpoint(*new))
                .or_insert(*new);
        }
    }

    /// How long a cell will take without its downloads: as it did itself; else the median of its
    /// series and flavour, of its flavour, of all. None for an empty history.
    pub fn estimate(&self, kernel: &Release, flavour: Flavour) -> Option<Duration> {
        let own = self.cells.get(kernel).map(Recorded::total);
        let like = |same: fn(&Recorded, Series, Flavour, Series) -> bool| {
            let alike = self.cells.iter().filter(|(other, recorded)| {
                same(recorded, other.series(), flavour, kernel.series())
            });
            view::median(alike.map(|(_, recorded)| recorded.total()))
        };
        own.or_else(|| {
            like(|other, series, flavour, own| other.flavour == flavour && series == own)
        })
        .or_else(|| like(|other, _, flavour, _| other.flavour == flavour))
        .or_else(|| like(|_, _, _, _| true))
        .map(Duration::from_millis)
    }

    /// How long one stage of a cell took, when it ran before.
    pub fn stage(&self, kernel: &Release, stage: &str) -> Option<Duration> {
        let ms = self.cells.get(kernel)?.stages_ms.get(stage)?;
        Some(Duration::from_millis(*ms))
    }

    /// Reads a history; an empty one where there is none to be read.
    pub fn load(path: &Path) -> Self {
        files::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|history| history.format == FORMAT)
            .unwrap_or_default()
    }

    /// Adds `report` to the history at `path`, in one step. Of two runs that end at once one is
    /// forgotten, which costs a guess.
    pub fn update(path: &Path, report: &RunReport) -> Result<(), FileError> {
        let history = Self::load(path).with(report);
        let mut text = serde_json::to_string_pretty(&history).map_err(|error| FileError {
            action: "put as JSON",
            path: path.to_owned(),
            source: error.into(),
        })?;
        text.push('\n');
        files::write_atomic(path, text.as_bytes())
    }
}

impl Recorded {
    fn total(&self) -> u64 {
        self.stages_ms
            .iter()
            .filter(|(stage, _)| *stage != FETCH)
            .fold(0, |sum, (_, ms)| sum.saturating_add(*ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture;

    fn ms(history: &History, kernel: &str, flavour: Flavour) -> Option<u128> {
        let kernel = kernel.parse().unwrap();
        history
            .estimate(&kernel, flavour)
            .map(|duration| duration.as_millis())
    }

    fn only(index: usize, durations: &[(&str, u64)]) -> RunReport {
        let mut report = fixture::run();
        report.cells = vec![report.cells.swap_remove(index)];
        report.cells[0].durations_ms = durations
            .iter()
            .map(|(stage, ms)| ((*stage).to_owned(), *ms))
            .collect();
        report
    }

    #[test]
    fn an_estimate_leaves_downloads_out_and_halves_with_each_run() {
        let history = History::default().with(&only(0, &[("fetch", 90_000), ("boot", 4_000)]));
        assert_eq!(
            ms(&history, "5.10.0-43-amd64", Flavour::Standard),
            Some(4_000)
        );
        let history = history.with(&only(0, &[("boot", 6_000), ("test", 1_000)]));
        assert_eq!(
            ms(&history, "5.10.0-43-amd64", Flavour::Standard),
            Some(6_000)
        );
        let kernel = "5.10.0-43-amd64".parse().unwrap();
        assert_eq!(history.stage(&kernel, "boot"), Some(Duration::from_secs(5)));
        assert_eq!(history.stage(&kernel, "probe"), None);
    }

    #[test]
    fn a_cell_that_ended_early_keeps_what_was_known_of_its_later_stages() {
        let history = History::default().with(&only(0, &[("compile", 2_000), ("boot", 4_000)]));
        let history = history.with(&only(0, &[("compile", 2_000)]));
        assert_eq!(
            ms(&history, "5.10.0-43-amd64", Flavour::Standard),
            Some(6_000)
        );
    }

    #[test]
    fn an_unknown_cell_is_guessed_from_its_nearest_kin() {
        let mut history = History::default();
        assert_eq!(ms(&history, "6.1.0-1-amd64", Flavour::Standard), None);
        history = history.with(&only(3, &[("boot", 7_000)]));
        assert_eq!(
            ms(&history, "6.1.0-1-amd64", Flavour::Standard),
            Some(7_000),
            "any"
        );
        history = history.with(&only(0, &[("boot", 5_000)]));
        assert_eq!(
            ms(&history, "6.1.0-1-amd64", Flavour::Standard),
            Some(5_000),
            "flavour"
        );
        history = history.with(&only(2, &[("boot", 6_000)]));
        assert_eq!(
            ms(&history, "6.1.0-1-amd64", Flavour::Standard),
            Some(6_000),
            "series"
        );
    }

    #[test]
    fn what_came_from_the_cache_took_no_time_now() {
        let report = only(4, &[("boot", 1)]);
        assert!(report.cells[0].cached);
        assert_eq!(History::default().with(&report), History::default());
    }

    #[test]
    fn a_file_is_kept_and_a_broken_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache/history.json");
        assert_eq!(History::load(&path), History::default());
        History::update(&path, &fixture::run()).unwrap();
        assert_eq!(
            History::load(&path),
            History::default().with(&fixture::run())
        );
        for broken in [
            "",
            "{",
            r#"{"format":2,"cells":{}}"#,
            r#"{"format":1,"cells":{"x":1}}"#,
        ] {
            files::write_atomic(&path, broken.as_bytes()).unwrap();
            assert_eq!(History::load(&path), History::default(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn no_duration_overflows(boot in any::<u64>(), test in any::<u64>(), again in any::<u64>()) {
            let history = History::default()
                .with(&only(0, &[("boot", boot), ("test", test)]))
                .with(&only(0, &[("boot", again)]));
            let total = ms(&history, "5.10.0-43-amd64", Flavour::Standard).unwrap();
            prop_assert!(total >= u128::from(test));
        }
    }
}
