// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report's files.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use tidelock_host::files::{self, FileError};
use tidelock_model::RunReport;

use crate::{html, junit, logs, markdown};

/// GitHub refuses a longer summary of one step.
const STEP_SUMMARY_LIMIT: u64 = 1024 * 1024;

/// A report could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The report could not be put as JSON.
    #[error("the report of {run} cannot be put as JSON: {source}")]
    Json {
        /// The run.
        run: String,
        /// What the serialiser said.
        source: serde_json::Error,
    },
    /// The page could not be made.
    #[error("the page of {run} cannot be made: {source}")]
    Html {
        /// The run.
        run: String,
        /// What the template said.
        source: askama::Error,
    },
    /// The report could not be put as JUnit XML.
    #[error("the report of {run} cannot be put as JUnit XML: {source}")]
    JUnit {
        /// The run.
        run: String,
        /// What the serialiser said.
        source: quick_junit::SerializeError,
    },
}

/// `report.json`: pretty, the fields in the order of the types, ended by a line feed.
pub fn json(report: &RunReport) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(report).map_err(|source| ReportError::Json {
        run: report.run.clone(),
        source,
    })?;
    text.push('\n');
    Ok(text)
}

/// Writes every format into the run's folder `dir`, each file whole or not at all, and adds to
/// the file in `$GITHUB_STEP_SUMMARY` when that is set.
///
/// `report.json` comes last: where it is, the others are.
pub fn write(report: &RunReport, dir: &Path) -> Result<(), ReportError> {
    files::write_atomic(&dir.join("junit.xml"), junit::render(report)?.as_bytes())?;
    files::write_atomic(&dir.join("report.md"), markdown::render(report).as_bytes())?;
    let page = html::render(report, &logs::collect(report, dir))?;
    files::write_atomic(&dir.join("report.html"), page.as_bytes())?;
    files::write_atomic(&dir.join("report.json"), json(report)?.as_bytes())?;
    let summary = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty());
    if let Some(path) = summary {
        append_summary(report, &PathBuf::from(path))?;
    }
    Ok(())
}

/// Adds to what earlier commands of the step have written: the file is the step's, not ours.
fn append_summary(report: &RunReport, path: &Path) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(FileError::of("open the step's summary", path))?;
    let taken = file
        .metadata()
        .map_err(FileError::of("read the size of", path))?
        .len();
    let room = usize::try_from(STEP_SUMMARY_LIMIT.saturating_sub(taken)).unwrap_or(0);
    file.write_all(markdown::render_within(report, room).as_bytes())
        .map_err(FileError::of("append to", path))
}

/// Points `latest` beside the run's folder at it, replacing an older link in one step.
pub fn link_latest(dir: &Path) -> Result<(), FileError> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Ok(());
    };
    files::symlink_atomic(Path::new(name), &parent.join("latest"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_steps_summary_is_added_to_and_stays_within_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary.md");
        let report = fixture::run();
        files::write_atomic(&path, b"of an earlier command\n").unwrap();
        append_summary(&report, &path).unwrap();
        let whole = markdown::render(&report);
        assert_eq!(
            files::read_text(&path).unwrap(),
            format!("of an earlier command\n{whole}")
        );

        let full = "x".repeat(usize::try_from(STEP_SUMMARY_LIMIT).unwrap() - 1000);
        files::write_atomic(&path, full.as_bytes()).unwrap();
        append_summary(&report, &path).unwrap();
        append_summary(&report, &path).unwrap();
        let text = files::read_text(&path).unwrap();
        assert!(text.len() as u64 <= STEP_SUMMARY_LIMIT);
        assert!(text.ends_with("The whole is in `report.md`.\n"));
    }
}
