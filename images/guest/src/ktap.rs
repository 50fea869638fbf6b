// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The verdict's words: KTAP version 1 (Documentation/dev-tools/ktap.rst).

use std::{
    fs::File,
    io::{self, Write as _},
};

use crate::failure::Failure;

/// The port that takes them.
pub(crate) struct Ktap(File);

impl Ktap {
    /// Speaks on `port`.
    pub(crate) fn new(port: File) -> Self {
        Self(port)
    }

    /// One whole line.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(format!("{line}\n").as_bytes())
    }

    /// The version and a plan of `tests`.
    pub(crate) fn plan(&mut self, tests: usize) -> io::Result<()> {
        self.line("KTAP version 1")?;
        self.line(&format!("1..{tests}"))
    }

    /// The result of the one test of this guest.
    pub(crate) fn verdict(&mut self, test: &str, verdict: &Verdict) -> io::Result<()> {
        self.line(&match verdict {
            Verdict::Passed(detail) if detail.is_empty() => format!("ok 1 {test}"),
            Verdict::Passed(detail) => format!("ok 1 {test} # {}", one_line(detail)),
            Verdict::Failed(why) => format!("not ok 1 {test} # {}", one_line(why)),
        })
    }
}

/// What a test came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Every expectation held; what was found.
    Passed(String),
    /// The first that did not; begins with a named verdict.
    Failed(String),
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.to_string())
    }
}

/// `text` without line breaks.
pub(crate) fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}
