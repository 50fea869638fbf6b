// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known while the run goes on, and how it is drawn. No clock and no terminal: time
//! is passed in as the milliseconds since the start.

use std::{collections::BTreeMap, fmt::Write as _};

use tidelock_model::{CellReport, Release, Status};

use crate::{Paint, text, view};

/// The lines that a narrow frame keeps for anything but running cells.
const HEAD_LINES: usize = 3;

/// The state of a run that has not ended.
#[derive(Default)]
pub(crate) struct Board {
    /// The cells to come, each with the time it took last.
    waiting: BTreeMap<Release, Option<u64>>,
    running: Vec<Running>,
    done: BTreeMap<Status, usize>,
    /// What cells took in this run: the guess for those without a record.
    taken: Vec<u64>,
    jobs: u64,
    /// Bytes that are there and that are wanted, of all fetches that have not ended.
    downloads: (i64, i64),
    stages_seen: Vec<String>,
}

struct Running {
    kernel: Release,
    stage: String,
    since: u64,
    stage_since: u64,
    estimate: Option<u64>,
}

impl Board {
    pub(crate) fn plan(&mut self, cells: &[(Release, Option<u64>)], jobs: usize) {
        self.waiting = cells.iter().cloned().collect();
        self.jobs = u64::try_from(jobs).unwrap_or(1).max(1);
    }

    /// True when no cell was at this stage before.
    pub(crate) fn stage(&mut self, kernel: &Release, stage: &str, now: u64) -> bool {
        if let Some(cell) = self.running.iter_mut().find(|cell| cell.kernel == *kernel) {
            stage.clone_into(&mut cell.stage);
            cell.stage_since = now;
        } else {
            let estimate = self.waiting.remove(kernel).flatten();
            self.running.push(Running {
                kernel: kernel.clone(),
                stage: stage.into(),
                since: now,
                stage_since: now,
                estimate,
            });
        }
        let new = !self.stages_seen.iter().any(|seen| seen == stage);
        if new {
            self.stages_seen.push(stage.into());
        }
        new
    }

    /// So many bytes more are there, and so many more are wanted; less where they are negative.
    pub(crate) fn downloads(&mut self, done: i64, wanted: i64) {
        let sum = |a: i64, b: i64| a.saturating_add(b);
        self.downloads = (sum(self.downloads.0, done), sum(self.downloads.1, wanted));
        if self.downloads.0 == self.downloads.1 {
            // The next fetch is counted from its own beginning.
            self.downloads = (0, 0);
        }
    }

    pub(crate) fn cell_done(&mut self, cell: &CellReport, now: u64) {
        self.waiting.remove(&cell.kernel);
        let place = self
            .running
            .iter()
            .position(|run| run.kernel == cell.kernel);
        if let Some(place) = place {
            let run = self.running.remove(place);
            self.taken.push(now.saturating_sub(run.since));
        }
        *self.done.entry(cell.status).or_default() += 1;
    }

    fn finished(&self) -> usize {
        self.done.values().sum()
    }

    fn total(&self) -> usize {
        self.finished() + self.running.len() + self.waiting.len()
    }

    /// The time that is left, by what was recorded; none where nothing is known.
    pub(crate) fn left(&self, now: u64) -> Option<u64> {
        let known: Vec<u64> = self
            .waiting
            .values()
            .chain(self.running.iter().map(|cell| &cell.estimate))
            .filter_map(|estimate| *estimate)
            .chain(self.taken.iter().copied())
            .collect();
        let guess = view::median(known)?;
        let running: Vec<u64> = self
            .running
            .iter()
            .map(|cell| {
                let spent = now.saturating_sub(cell.since);
                cell.estimate.unwrap_or(guess).saturating_sub(spent)
            })
            .collect();
        let waiting = self
            .waiting
            .values()
            .map(|estimate| estimate.unwrap_or(guess));
        let work: u64 = running
            .iter()
            .copied()
            .chain(waiting)
            .fold(0, u64::saturating_add);
        let longest = running.into_iter().max().unwrap_or(0);
        Some((work / self.jobs.max(1)).max(longest))
    }

    /// The frame, no line wider than `width` and no more lines than `height`.
    pub(crate) fn frame(&self, now: u64, width: usize, height: usize, paint: Paint) -> String {
        let mut lines = vec![self.counts(paint), self.bar(now, width, paint)];
        let (done, wanted) = self.downloads;
        if done < wanted {
            let unsigned = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
            lines.push(format!(
                "  {} {} of {}",
                paint.dim("fetching"),
                text::bytes(unsigned(done)),
                text::bytes(unsigned(wanted))
            ));
        }
        let room = height.saturating_sub(HEAD_LINES + 1).max(1);
        let hidden = self.running.len().saturating_sub(room);
        let widest = self
            .running
            .iter()
            .map(|cell| cell.kernel.as_str().len())
            .max();
        for cell in self.running.iter().take(room) {
            lines.push(format!(
                "  {:<kernel$}  {:<8} {:>6}  {}",
                cell.kernel,
                text::one_line(&cell.stage),
                clock(now.saturating_sub(cell.stage_since)),
                paint.dim(&clock(now.saturating_sub(cell.since))),
                kernel = widest.unwrap_or(0),
            ));
        }
        if hidden > 0 {
            lines.push(paint.dim(&format!("  and {hidden} more")));
        }
        let fit = |line: String| console::truncate_str(&line, width, "…").into_owned();
        lines.into_iter().map(fit).collect::<Vec<_>>().join("\n")
    }

    fn counts(&self, paint: Paint) -> String {
        let mut parts = vec![paint.bold(&text::plural(self.total(), "cell"))];
        for (status, count) in &self.done {
            let word = view::word(*status);
            parts.push(paint.status(*status, &format!("{count} {word}")));
        }
        parts.push(format!("{} running", self.running.len()));
        parts.push(paint.dim(&format!("{} waiting", self.waiting.len())));
        parts.join("  ")
    }

    fn bar(&self, now: u64, width: usize, paint: Paint) -> String {
        let mut tail = format!(
            " {}/{}  {} elapsed",
            self.finished(),
            self.total(),
            clock(now)
        );
        if let Some(left) = self.left(now) {
            let _ = write!(tail, ", about {} left", clock(left));
        }
        let room = width.saturating_sub(tail.len() + 1).min(40);
        let full = room * self.finished() / self.total().max(1);
        format!(
            "{}{}{tail}",
            "━".repeat(full),
            paint.dim(&"─".repeat(room - full))
        )
    }

    /// The line that says how a cell ended, and stays.
    pub(crate) fn ended(&self, cell: &CellReport, paint: Paint) -> String {
        let total = self.total();
        let digits = total.to_string().len();
        let mut line = format!(
            "{:>digits$}/{total} {} {}",
            self.finished(),
            paint.status(cell.status, &format!("{:<5}", cell.status)),
            cell.kernel,
        );
        let spent = if cell.cached {
            "cached".into()
        } else {
            text::duration(view::total(cell))
        };
        let _ = write!(line, "  {}", paint.dim(&spent));
        if cell.status != Status::Pass {
            let _ = write!(line, "  {}: {}", cell.stage, text::one_line(&cell.reason));
        }
        line
    }
}

/// `0:04`, `12:30`, `1:02:00`.
pub(crate) fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn planned() -> (Vec<CellReport>, Board) {
        let cells = fixture::run().cells;
        let mut board = Board::default();
        let plan: Vec<(Release, Option<u64>)> = cells
            .iter()
            .map(|cell| (cell.kernel.clone(), Some(20_000)))
            .collect();
        board.plan(&plan, 2);
        (cells, board)
    }

    fn midway() -> Board {
        let (cells, mut board) = planned();
        for (index, cell) in cells.iter().take(4).enumerate() {
            board.stage(&cell.kernel, "compile", index as u64 * 1000);
            board.cell_done(cell, 20_000 + index as u64 * 1000);
        }
        board.stage(&cells[4].kernel, "boot", 60_000);
        board.stage(&cells[5].kernel, "compile", 62_000);
        board.stage(&cells[5].kernel, "boot", 64_000);
        board.downloads(35_861_299, 78_643_200);
        board
    }

    #[test]
    fn the_frame_shows_counts_cells_and_time_left() {
        insta::assert_snapshot!(midway().frame(65_000, 80, 24, Paint::Plain));
    }

    #[test]
    fn a_small_terminal_is_never_overrun() {
        for (width, height) in [(1, 1), (20, 4), (40, 5), (500, 100)] {
            let frame = midway().frame(65_000, width, height, Paint::Colour);
            assert!(
                frame.lines().count() <= height.max(5),
                "{width}x{height}:\n{frame}"
            );
            for line in frame.lines() {
                assert!(
                    console::measure_text_width(line) <= width,
                    "{width}: {line:?}"
                );
            }
        }
    }

    #[test]
    fn the_time_left_shares_the_work_among_the_jobs() {
        let (cells, mut board) = planned();
        assert_eq!(board.left(0), Some(100_000));
        board.stage(&cells[0].kernel, "fetch", 0);
        assert_eq!(board.left(15_000), Some(92_500));
        // What takes longer than recorded does not make the rest negative.
        assert_eq!(board.left(60_000), Some(90_000));
        for cell in &cells {
            board.stage(&cell.kernel, "test", 60_000);
            board.cell_done(cell, 61_000);
        }
        assert_eq!(board.left(61_000), Some(0));
    }

    #[test]
    fn nothing_known_means_no_guess() {
        let mut board = Board::default();
        board.plan(&[("6.1.0-56-amd64".parse().unwrap(), None)], 1);
        assert_eq!(board.left(0), None);
    }

    #[test]
    fn only_the_first_cell_at_a_stage_is_news() {
        let (cells, mut board) = planned();
        assert!(board.stage(&cells[0].kernel, "fetch", 0));
        assert!(!board.stage(&cells[1].kernel, "fetch", 0));
        assert!(board.stage(&cells[1].kernel, "compile", 0));
    }
}
