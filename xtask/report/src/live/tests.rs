// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The progress as a terminal and as a file see it.

use std::{
    io,
    sync::{Arc, Mutex},
};

use indicatif::{InMemoryTerm, ProgressDrawTarget};
use tidelock_model::Status;

use super::{DownloadProgress, Expected, Live};
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
        live.downloads(10, 20);
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
fn a_file_gets_a_line_when_a_download_begins_and_when_all_is_there() {
    let sink = Sink::default();
    let live = Arc::new(Live::lines(Box::new(sink.clone()), Paint::Plain));
    let fetch = DownloadProgress::new(Arc::clone(&live), "6.1.0-56-amd64");
    fetch.expect(3, 131 << 20);
    fetch.advance(1 << 20);
    fetch.arrived(0);
    let lines = || -> Vec<String> {
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .filter_map(|line| Some(line.split_once("] ")?.1.to_owned()))
            .collect()
    };
    assert_eq!(lines(), [""; 0], "nothing is downloaded yet");
    fetch.downloading();
    fetch.downloading();
    fetch.retrying("http://127.0.0.1/a", "HTTP\n503");
    fetch.arrived(100 << 20);
    fetch.arrived(30 << 20);
    let lines = lines();
    assert_eq!(lines[0], "fetch 6.1.0-56-amd64: 131.0 MiB");
    let again = "fetch 6.1.0-56-amd64: http://127.0.0.1/a: HTTP 503; again";
    assert_eq!(lines[1], again);
    assert!(lines[2].starts_with("fetched 6.1.0-56-amd64: 130.0 MiB in "));
    assert_eq!(lines.len(), 3, "{lines:?}");

    let cached = DownloadProgress::new(Arc::clone(&live), "cached");
    cached.expect(1, 10);
    cached.arrived(0);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("cached"), "{text}");
}

#[test]
fn a_terminal_shows_the_bytes_of_all_fetches_until_they_end() {
    let terminal = InMemoryTerm::new(40, 120);
    let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let live = Arc::new(Live::table(target, Paint::Plain));
    live.plan(&expected(), 2);
    let seen = || {
        live.shared.draw();
        terminal.contents()
    };
    let [one, two] = ["one", "two"].map(|label| DownloadProgress::new(Arc::clone(&live), label));
    one.expect(1, 3 << 20);
    two.expect(1, 5 << 20);
    one.advance(1 << 20);
    two.advance(2 << 20);
    two.advance(-(1 << 20));
    let shown = seen();
    assert!(shown.contains("fetching 2.0 MiB of 8.0 MiB"), "{shown}");
    // One comes to nothing, and is not waited for.
    drop(two);
    let shown = seen();
    assert!(shown.contains("fetching 2.0 MiB of 4.0 MiB"), "{shown}");
    one.advance(2 << 20);
    drop(one);
    let shown = seen();
    assert!(!shown.contains("fetching"), "{shown}");
}

#[test]
fn it_is_shared_between_tasks() {
    fn shared<T: Send + Sync>() {}
    shared::<Live>();
    shared::<DownloadProgress>();
}
