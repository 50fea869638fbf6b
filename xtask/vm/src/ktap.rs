// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads KTAP version 1 (Documentation/dev-tools/ktap.rst) as the guest must say it.
//!
//! The port carries the guest's verdict and nothing else, so this reader is stricter than the
//! format: a plan is required, subtests are refused, and so is any line it does not know.

use tidelock_model::Measured;

const VERSION: &str = "KTAP version 1";

/// A whole stream: as many results as were planned, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ktap {
    /// In the order of the plan.
    pub results: Vec<KtapResult>,
}

/// One test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KtapResult {
    /// Its description.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What follows the `#` of the result, without the directive.
    pub detail: String,
    /// The `# key: value` lines before it.
    pub measured: Measured,
    /// The other diagnostic lines before it.
    pub remarks: Vec<String>,
}

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// `ok`.
    Ok,
    /// `not ok`.
    NotOk,
    /// `SKIP`: not run, for the reason in the detail.
    Skip,
    /// `TODO` or `XFAIL`: not expected to pass, whatever it did. Never counted as a pass.
    Todo,
    /// `TIMEOUT`: did not come to an end.
    Timeout,
    /// `ERROR`: could not be run.
    Error,
}

/// The stream does not say what came of the tests.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KtapError {
    /// Nothing was written at all, or not even the version.
    #[error("the guest said no {VERSION:?}; its first line is {first:?}")]
    NoVersion {
        /// The first line, empty when there is none.
        first: String,
    },
    /// The version was not followed by a plan.
    #[error("line {line}: there is no plan (1..N) before {text:?}")]
    NoPlan {
        /// Counted from 1.
        line: usize,
        /// What stands in its place.
        text: String,
    },
    /// A plan of no tests.
    #[error("line {line}: the plan {text:?} has no tests")]
    EmptyPlan {
        /// Counted from 1.
        line: usize,
        /// The plan.
        text: String,
    },
    /// The plan was said, and no result.
    #[error("{planned} tests were planned and none has a result")]
    NoVerdict {
        /// By the plan.
        planned: usize,
    },
    /// Some results are missing.
    #[error("{planned} tests were planned and {seen} have a result")]
    Truncated {
        /// By the plan.
        planned: usize,
        /// How many came.
        seen: usize,
    },
    /// The last line does not end.
    #[error("the last line is cut off: {text:?}")]
    CutOff {
        /// What there is of it.
        text: String,
    },
    /// A result with a number that had one before.
    #[error("line {line}: test {number} has a second result")]
    Duplicate {
        /// Counted from 1.
        line: usize,
        /// The number.
        number: usize,
    },
    /// A result with another number than the next one.
    #[error("line {line}: the result of test {number} came where that of {expected} was due")]
    OutOfOrder {
        /// Counted from 1.
        line: usize,
        /// The number that came.
        number: usize,
        /// The number that was due.
        expected: usize,
    },
    /// A result beyond the plan.
    #[error("line {line}: test {number} is not in the plan of {planned}")]
    Unplanned {
        /// Counted from 1.
        line: usize,
        /// The number.
        number: usize,
        /// By the plan.
        planned: usize,
    },
    /// A failure that calls itself skipped.
    #[error("line {line}: a failure cannot be excused as skipped: {text:?}")]
    Excused {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// An indented line.
    #[error("line {line}: subtests are not spoken here: {text:?}")]
    Nested {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// The guest gave up.
    #[error("line {line}: {text}")]
    BailOut {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// Something else.
    #[error("line {line} is no KTAP: {text:?}")]
    Unknown {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

impl KtapError {
    /// The named verdict.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::NoVersion { .. } | Self::NoPlan { .. } => "missing-plan",
            Self::NoVerdict { .. } => "no-verdict",
            Self::Truncated { .. } | Self::CutOff { .. } => "truncated-ktap",
            Self::EmptyPlan { .. }
            | Self::Duplicate { .. }
            | Self::OutOfOrder { .. }
            | Self::Unplanned { .. }
            | Self::Excused { .. }
            | Self::Nested { .. }
            | Self::BailOut { .. }
            | Self::Unknown { .. } => "malformed-ktap",
        }
    }
}

/// Reads a whole stream.
///
/// # Errors
/// When the stream is not whole, not in order, or not KTAP.
pub fn parse(bytes: &[u8]) -> Result<Ktap, KtapError> {
    let text = String::from_utf8_lossy(bytes);
    let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", &text));
    let mut lines = whole
        .split('\n')
        .zip(1..)
        .map(|(text, line)| (line, text.trim_end()))
        .filter(|(_, text)| !text.is_empty());
    let first = lines.next().map_or("", |(_, text)| text);
    if first != VERSION {
        return Err(KtapError::NoVersion {
            first: first.into(),
        });
    }
    let mut reader = Reader::default();
    for (line, text) in lines {
        reader.take(line, text)?;
    }
    reader.finish(rest)
}

#[derive(Default)]
struct Reader {
    planned: Option<usize>,
    results: Vec<KtapResult>,
    measured: Measured,
    remarks: Vec<String>,
}

impl Reader {
    fn take(&mut self, line: usize, text: &str) -> Result<(), KtapError> {
        let owned = || text.to_owned();
        if text.starts_with([' ', '\t']) {
            return Err(KtapError::Nested {
                line,
                text: owned(),
            });
        }
        if text.starts_with("Bail out!") {
            return Err(KtapError::BailOut {
                line,
                text: owned(),
            });
        }
        if let Some(remark) = text.strip_prefix('#') {
            self.remark(remark.trim());
            return Ok(());
        }
        if let Some(planned) = plan(text) {
            return match (planned, self.planned.replace(planned)) {
                (0, _) => Err(KtapError::EmptyPlan {
                    line,
                    text: owned(),
                }),
                (_, None) => Ok(()),
                (_, Some(_)) => Err(KtapError::Unknown {
                    line,
                    text: owned(),
                }),
            };
        }
        let Some(planned) = self.planned else {
            return Err(KtapError::NoPlan {
                line,
                text: owned(),
            });
        };
        match result(text) {
            Some((_, result)) if result.outcome == Outcome::Skip && text.starts_with("not ") => {
                Err(KtapError::Excused {
                    line,
                    text: owned(),
                })
            }
            Some((number, result)) => self.result(line, planned, number, result),
            None => Err(KtapError::Unknown {
                line,
                text: owned(),
            }),
        }
    }

    fn remark(&mut self, text: &str) {
        match text.split_once(": ") {
            Some((key, value)) if is_key(key) => {
                self.measured.insert(key.into(), value.trim().into());
            }
            _ => self.remarks.push(text.into()),
        }
    }

    fn result(
        &mut self,
        line: usize,
        planned: usize,
        number: usize,
        mut result: KtapResult,
    ) -> Result<(), KtapError> {
        let expected = self.results.len() + 1;
        if number == 0 || number > planned {
            return Err(KtapError::Unplanned {
                line,
                number,
                planned,
            });
        }
        if number < expected {
            return Err(KtapError::Duplicate { line, number });
        }
        if number > expected {
            return Err(KtapError::OutOfOrder {
                line,
                number,
                expected,
            });
        }
        result.measured = std::mem::take(&mut self.measured);
        result.remarks = std::mem::take(&mut self.remarks);
        self.results.push(result);
        Ok(())
    }

    fn finish(self, rest: &str) -> Result<Ktap, KtapError> {
        let seen = self.results.len();
        if !rest.is_empty() {
            return Err(KtapError::CutOff { text: rest.into() });
        }
        match self.planned {
            None => Err(KtapError::NoPlan {
                line: 2,
                text: String::new(),
            }),
            Some(planned) if seen == 0 => Err(KtapError::NoVerdict { planned }),
            Some(planned) if seen < planned => Err(KtapError::Truncated { planned, seen }),
            Some(_) => Ok(Ktap {
                results: self.results,
            }),
        }
    }
}

fn is_key(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn plan(text: &str) -> Option<usize> {
    let count = text.strip_prefix("1..")?;
    // A plan of none may say why, after a `#`.
    let count = count.split_once('#').map_or(count, |(count, _)| count);
    count.trim().parse().ok()
}

fn result(text: &str) -> Option<(usize, KtapResult)> {
    let (plain, rest) = match text.strip_prefix("not ok ") {
        Some(rest) => (Outcome::NotOk, rest),
        None => (Outcome::Ok, text.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = number.parse().ok()?;
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    let (name, after) = match rest.strip_prefix("# ") {
        Some(after) => ("", after),
        None => rest.split_once(" # ").unwrap_or((rest, "")),
    };
    let (outcome, detail) = directive(plain, after.trim());
    let result = KtapResult {
        name: name.trim().into(),
        outcome,
        detail: detail.into(),
        measured: Measured::new(),
        remarks: Vec::new(),
    };
    Some((number, result))
}

fn directive(plain: Outcome, text: &str) -> (Outcome, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let outcome = match word.trim_end_matches(':') {
        "SKIP" => Outcome::Skip,
        "TODO" | "XFAIL" => Outcome::Todo,
        "TIMEOUT" => Outcome::Timeout,
        "ERROR" => Outcome::Error,
        _ => return (plain, text),
    };
    (outcome, rest.trim_start())
}

#[cfg(test)]
mod tests;
