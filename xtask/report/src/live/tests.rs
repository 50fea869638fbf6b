// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The progress as a terminal and as a file see it.

use std::{
    io,
    sync::{Arc, Mutex},
};

use indicatif::{InMemoryTerm, ProgressDrawTarget};
use tidelock_model::Status;

use super::{Expected, Live};
use crate::{Paint, fixture};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn expected() -> Vec<Expected> {
    let cells = fixture::run().cells;
    cells
        .into_iter()
        .map(|cell| (cell.kernel, Some(20_000)))
        .collect()
}

fn drive(live: &Live) {
    let report = fixture::run();
    live.plan(&expected(), 2);
    for cell in &report.cells {
        live.stage(&cell.kernel, "compile");
        live.download(10, 20);
        live.stage(&cell.kernel, "boot");
        live.cell_done(cell);
    }
}

#[test]
fn a_file_gets_one_line_for_each_cell_and_no_escapes() {
    let sink = Sink::default();
    let live = Live::lines(Box::new(sink.clone()), Paint::Plain);
    drive(&live);
    live.finish(&fixture::run());
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
    let mut filters = insta::Settings::clone_current();
    filters.add_filter(r"\[ *\d+:\d\d\]", "[  0:00]");
    filters.bind(|| insta::assert_snapshot!(text));
}

#[test]
fn a_terminal_keeps_the_failures_above_the_table_and_the_table_goes() {
    let terminal = InMemoryTerm::new(40, 120);
    let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let live = Live::table(target, Paint::Plain);
    drive(&live);
    let report = fixture::run();
    let failing = report
        .cells
        .iter()
        .filter(|cell| !matches!(cell.status, Status::Pass | Status::Skip));
    drop(live);
    let seen = terminal.contents();
    for cell in failing {
        assert!(seen.contains(cell.kernel.as_str()), "{seen}");
    }
    assert!(!seen.contains("PASS"), "{seen}");
    assert!(
        !seen.contains("elapsed"),
        "the table is still there:\n{seen}"
    );
}

#[test]
fn the_table_is_drawn_at_once() {
    let terminal = InMemoryTerm::new(40, 120);
    let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let live = Live::table(target, Paint::Plain);
    live.plan(&expected(), 2);
    live.stage(&expected()[0].0, "compile");
    live.message("said");
    let seen = terminal.contents();
    for part in ["said", "10 cells", "1 running", "9 waiting", "compile"] {
        assert!(seen.contains(part), "{part} is not in:\n{seen}");
    }
}

#[test]
fn it_is_shared_between_tasks() {
    fn shared<T: Send + Sync>() {}
    shared::<Live>();
}
