// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ends of the logs, for the page: bounded for each file and for the page as a whole.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Component, Path},
};

use serde::Serialize;
use tidelock_model::{CellReport, RunReport};

use crate::view;

/// What is embedded of one log, where somebody has to look at the cell.
const TAIL_TO_LOOK_AT: u64 = 48 * 1024;
/// What is embedded of any other.
const TAIL: u64 = 4 * 1024;
/// What is embedded in all: the page must open at once.
const PAGE: u64 = 8 * 1024 * 1024;
/// A cell that keeps more files than this has them listed up to here.
const FILES: usize = 64;

/// One file of a cell's folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LogFile {
    /// Its path under the cell's folder.
    pub name: String,
    /// The link to it from the run's folder, percent-encoded.
    pub href: String,
    /// Its size.
    pub bytes: u64,
    /// Its end as text; absent for what is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<String>,
    /// Whether something stands before `tail`.
    pub cut: bool,
}

/// The files of every cell of `report`, in its order. What cannot be read is left out: a report
/// without a log is better than none.
pub fn collect(report: &RunReport, dir: &Path) -> Vec<Vec<LogFile>> {
    let mut logs: Vec<Vec<LogFile>> = report.cells.iter().map(|_| Vec::new()).collect();
    let mut room = PAGE;
    // Those that somebody has to look at are served first.
    for urgent in [true, false] {
        for (cell, files) in report.cells.iter().zip(&mut logs) {
            if view::needs_attention(cell.status) == urgent {
                *files = of_cell(
                    cell,
                    dir,
                    if urgent { TAIL_TO_LOOK_AT } else { TAIL },
                    &mut room,
                );
            }
        }
    }
    logs
}

fn of_cell(cell: &CellReport, dir: &Path, limit: u64, room: &mut u64) -> Vec<LogFile> {
    let folder = Path::new(&cell.logs);
    let inside = folder
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if cell.logs.is_empty() || !inside {
        return Vec::new();
    }
    let mut names = Vec::new();
    list(&dir.join(folder), "", &mut names);
    names.sort_by(|a, b| view::natural(a, b));
    names.truncate(FILES);
    names
        .into_iter()
        .filter_map(|name| {
            let (bytes, tail) = tail_of(&dir.join(folder).join(&name), limit.min(*room))?;
            let taken = tail.as_ref().map_or(0, |tail| tail.len() as u64);
            *room = room.saturating_sub(taken);
            Some(LogFile {
                href: href(&cell.logs, &name),
                cut: tail.is_some() && bytes > limit.min(taken),
                name,
                bytes,
                tail,
            })
        })
        .collect()
}

/// The plain files of a folder and of its own folders, by their paths under it.
fn list(dir: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_file() => names.push(path),
            Ok(kind) if kind.is_dir() && prefix.is_empty() => {
                list(&entry.path(), &format!("{path}/"), names);
            }
            _ => {}
        }
    }
}

/// The size of a file and its last `limit` bytes, from the start of a line, when they are text.
fn tail_of(path: &Path, limit: u64) -> Option<(u64, Option<String>)> {
    let mut file = File::open(path).ok()?;
    let bytes = file.metadata().ok()?.len();
    let start = bytes.saturating_sub(limit);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut end = Vec::new();
    file.take(limit).read_to_end(&mut end).ok()?;
    if end.contains(&0) {
        return Some((bytes, None));
    }
    let text = String::from_utf8_lossy(&end);
    let whole = match text.split_once('\n') {
        Some((_, rest)) if start > 0 => rest,
        _ => &text,
    };
    Some((bytes, Some(whole.to_owned())))
}

/// A relative link that is a path and nothing else.
fn href(folder: &str, name: &str) -> String {
    let mut out = String::from("./");
    for byte in format!("{folder}/{name}").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    out
}

fn hex(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16)
        .unwrap_or('0')
        .to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use tidelock_host::files::write_atomic;

    use super::*;
    use crate::fixture;

    #[test]
    fn the_end_of_a_long_log_starts_at_a_line_and_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kmsg.log");
        let long: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        write_atomic(&path, long.as_bytes()).unwrap();
        let (bytes, tail) = tail_of(&path, TAIL).unwrap();
        let tail = tail.unwrap();
        assert_eq!(bytes, long.len() as u64);
        assert!(tail.len() as u64 <= TAIL && tail.len() as u64 > TAIL / 2);
        assert!(
            tail.starts_with("line ") && tail.ends_with("line 19999\n"),
            "{tail}"
        );
    }

    #[test]
    fn binaries_are_listed_without_text_and_folders_are_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = fixture::run();
        let folder = dir.path().join(&report.cells[1].logs);
        write_atomic(&folder.join("tidelock.ko"), b"\x7fELF\0\0").unwrap();
        write_atomic(&folder.join("vm/kmsg #1.log"), b"oops\n").unwrap();
        write_atomic(&dir.path().join("secret.log"), b"secret").unwrap();
        report.cells[2].logs = "..".into();
        report.cells[3].logs = "/etc".into();
        let logs = collect(&report, dir.path());
        let ko = &logs[1][0];
        assert_eq!(
            (ko.name.as_str(), ko.bytes, &ko.tail),
            ("tidelock.ko", 6, &None)
        );
        let kmsg = &logs[1][1];
        assert_eq!(kmsg.href, "./cells/5.10.0-43-rt-amd64/vm/kmsg%20%231.log");
        assert_eq!((kmsg.tail.as_deref(), kmsg.cut), (Some("oops\n"), false));
        assert!(logs[2].is_empty() && logs[3].is_empty());
    }

    #[test]
    fn the_page_has_a_bound_and_serves_failures_first() {
        let dir = tempfile::tempdir().unwrap();
        let report = fixture::large();
        let text = "x".repeat(1024).into_bytes();
        for cell in &report.cells {
            for file in 0..20 {
                let name = format!("{}/log-{file}", cell.logs);
                write_atomic(&dir.path().join(name), &text.repeat(60)).unwrap();
            }
        }
        let logs = collect(&report, dir.path());
        let embedded: u64 = logs
            .iter()
            .flatten()
            .map(|log| log.tail.as_ref().map_or(0, |tail| tail.len() as u64))
            .sum();
        assert!(embedded <= PAGE, "{embedded}");
        let failing = report
            .cells
            .iter()
            .position(|cell| view::needs_attention(cell.status));
        let first = &logs[failing.unwrap()][0];
        assert_eq!(first.tail.as_ref().unwrap().len() as u64, TAIL_TO_LOOK_AT);
        assert!(first.cut);
    }
}
