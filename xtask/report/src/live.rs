// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is seen while a run goes on: a live table on a terminal, lines anywhere else.

mod board;
mod download;

pub use download::DownloadProgress;

use std::{
    io::{IsTerminal as _, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidelock_model::{CellReport, Release, RunReport};

use crate::{Paint, live::board::Board, summary, view};

/// How often the table is drawn anew while nothing happens: the clocks in it show seconds.
const TICK: Duration = Duration::from_millis(250);

/// A cell of the plan and what it took when it last ran, in milliseconds.
pub type Expected = (Release, Option<u64>);

/// The progress of one run. Shared by reference between the tasks that run cells.
///
/// The cursor is never hidden and no mode of the terminal is changed, so there is nothing to
/// restore however the process ends; dropping it wipes the table.
pub struct Live {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    board: Mutex<Board>,
    output: Output,
    paint: Paint,
    start: Instant,
    ended: Mutex<bool>,
    wake: Condvar,
}

enum Output {
    Table(ProgressBar),
    Lines(Mutex<Box<dyn Write + Send>>),
}

impl Live {
    /// On standard error: a table when it is a terminal that can move its cursor, else lines.
    pub fn stderr() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !dumb {
            let live = Self::table(ProgressDrawTarget::stderr(), Paint::for_stderr());
            live.shared.step_aside_for_panics();
            return live;
        }
        Self::plain()
    }

    /// Lines on standard error, a terminal or not: for commands that write there themselves.
    pub fn plain() -> Self {
        Self::lines(Box::new(std::io::stderr()), Paint::for_stderr())
    }

    /// Plain lines to `output`; `std::io::sink()` makes it silent.
    pub fn lines(output: Box<dyn Write + Send>, paint: Paint) -> Self {
        Self {
            shared: Arc::new(Shared::new(Output::Lines(Mutex::new(output)), paint)),
            ticker: None,
        }
    }

    fn table(target: ProgressDrawTarget, paint: Paint) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let shared = Arc::new(Shared::new(Output::Table(bar), paint));
        let ticking = Arc::clone(&shared);
        Self {
            shared,
            ticker: Some(std::thread::spawn(move || ticking.tick())),
        }
    }

    /// The cells that are to run, at most `jobs` at a time.
    pub fn plan(&self, cells: &[Expected], jobs: usize) {
        lock(&self.shared.board).plan(cells, jobs);
        let estimate = lock(&self.shared.board).left(0);
        if let Output::Lines(_) = self.shared.output {
            let about = estimate.map(|ms| format!(", about {}", board::clock(ms)));
            let cells = crate::text::plural(cells.len(), "cell");
            self.message(&format!(
                "{cells}, {jobs} at a time{}",
                about.unwrap_or_default()
            ));
        }
        self.shared.draw();
    }

    /// `cell` has come to `stage`; the first stage starts its clock.
    pub fn stage(&self, cell: &Release, stage: &str) {
        let now = self.shared.now();
        let new = lock(&self.shared.board).stage(cell, stage, now);
        if let (true, Output::Lines(_)) = (new, &self.shared.output) {
            self.message(&format!("{stage}: {cell} is the first"));
        }
        self.shared.draw();
    }

    /// A cell has ended. On a terminal only those stay visible that need attention.
    pub fn cell_done(&self, cell: &CellReport) {
        let now = self.shared.now();
        let line = {
            let mut board = lock(&self.shared.board);
            board.cell_done(cell, now);
            board.ended(cell, self.shared.paint)
        };
        let shown = match self.shared.output {
            Output::Lines(_) => true,
            Output::Table(_) => view::needs_attention(cell.status),
        };
        if shown {
            self.message(&line);
        }
        self.shared.draw();
    }

    /// A line that stays, above the table.
    pub fn message(&self, line: &str) {
        match &self.shared.output {
            Output::Table(bar) => bar.println(line),
            Output::Lines(output) => {
                let line = format!("[{:>6}] {line}\n", board::clock(self.shared.now()));
                // There is nobody left to tell when standard error is closed.
                let _ = lock(output).write_all(line.as_bytes());
            }
        }
    }

    /// Runs what itself writes to the terminal, with the table out of the way.
    pub fn suspend<R>(&self, run: impl FnOnce() -> R) -> R {
        match &self.shared.output {
            Output::Table(bar) => bar.suspend(run),
            Output::Lines(_) => run(),
        }
    }

    /// Wipes the table and prints what the run came to.
    pub fn finish(&self, report: &RunReport) {
        self.shared.end();
        let text = format!("\n{}", summary::render(report, self.shared.paint));
        match &self.shared.output {
            Output::Table(bar) => {
                bar.finish_and_clear();
                bar.suspend(|| {
                    let _ = std::io::stderr().write_all(text.as_bytes());
                });
            }
            Output::Lines(output) => {
                let _ = lock(output).write_all(text.as_bytes());
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
        if let Output::Table(bar) = &self.shared.output {
            bar.finish_and_clear();
        }
    }
}

impl Shared {
    fn new(output: Output, paint: Paint) -> Self {
        Self {
            board: Mutex::default(),
            output,
            paint,
            start: Instant::now(),
            ended: Mutex::new(false),
            wake: Condvar::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn draw(&self) {
        let ended = lock(&self.ended);
        let Output::Table(bar) = &self.output else {
            return;
        };
        if *ended {
            return;
        }
        let (height, width) = console::Term::stderr().size();
        let frame = lock(&self.board).frame(self.now(), width.into(), height.into(), self.paint);
        bar.set_message(frame);
        bar.tick();
    }

    fn tick(&self) {
        let mut ended = lock(&self.ended);
        while !*ended {
            drop(ended);
            self.draw();
            ended = lock(&self.ended);
            if !*ended {
                ended = self
                    .wake
                    .wait_timeout(ended, TICK)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        }
    }

    fn end(&self) {
        *lock(&self.ended) = true;
        self.wake.notify_all();
    }

    /// A panic's message would be wiped by the next frame: stop drawing before it is printed.
    fn step_aside_for_panics(self: &Arc<Self>) {
        let this = Arc::downgrade(self);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some(this) = this.upgrade() {
                // Not a blocking lock: the thread that panics may hold it.
                if let Ok(mut ended) = this.ended.try_lock() {
                    *ended = true;
                }
                if let Output::Table(bar) = &this.output {
                    bar.finish_and_clear();
                }
            }
            before(info);
        }));
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking thread left behind is good enough to be drawn.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
