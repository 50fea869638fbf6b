// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy in force, and those before it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The policy in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyReport {
    /// Its revision, as its maker says.
    pub revision: String,
    /// The digest of all its files.
    pub digest: String,
    /// Where it came from: `built in`, `store`, or a folder.
    pub source: String,
    /// The number that the kernel knows it by.
    pub generation: u64,
    /// Why a newer one was not taken, when that is so.
    pub trouble: Option<String>,
}

/// Puts a policy in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivateRequest {
    /// The bundle's folder, as the daemon sees it; absolute.
    pub path: PathBuf,
}

/// Tests a policy, without putting it in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// The bundle's folder, as the daemon sees it; absolute.
    pub path: PathBuf,
}

/// How the tests that a bundle brings along ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestReport {
    /// Each test, by name.
    pub tests: Vec<TestCase>,
}

impl TestReport {
    /// Whether something was tested, and nothing failed. What is skipped is no pass.
    pub fn passed(&self) -> bool {
        let count = |outcome| {
            let tests = self.tests.iter();
            tests.filter(|test| test.outcome == outcome).count()
        };
        count(TestOutcome::Pass) > 0
            && count(TestOutcome::Fail) == 0
            && count(TestOutcome::Error) == 0
    }
}

/// One test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestCase {
    /// Its name, such as `data.tidelock_test.test_known`.
    pub name: String,
    /// Its file in the bundle.
    pub file: String,
    /// Its line, counted from 1.
    pub line: u32,
    /// How it ended.
    pub outcome: TestOutcome,
    /// Why it could not be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestOutcome {
    /// The rule is true.
    Pass,
    /// The rule is false or undefined.
    Fail,
    /// The rule cannot be evaluated.
    Error,
    /// It is marked as not ready.
    Skipped,
}

/// The policies there were.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryReport {
    /// The newest first.
    pub revisions: Vec<Revision>,
}

/// A policy that is or was in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revision {
    /// Its revision, as its maker says.
    pub revision: String,
    /// The digest of all its files.
    pub digest: String,
    /// Since when, as RFC 3339 has it.
    pub activated: String,
    /// Whether it is the one in force.
    pub current: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_no_pass() {
        use TestOutcome::{Error, Fail, Pass, Skipped};
        let report = |outcomes: &[TestOutcome]| TestReport {
            tests: outcomes
                .iter()
                .map(|outcome| TestCase {
                    name: "t".into(),
                    file: "f".into(),
                    line: 1,
                    outcome: *outcome,
                    reason: None,
                })
                .collect(),
        };
        assert!(report(&[Pass]).passed());
        assert!(report(&[Pass, Skipped]).passed());
        for outcomes in [&[][..], &[Skipped], &[Pass, Fail], &[Error, Pass]] {
            assert!(!report(outcomes).passed(), "{outcomes:?}");
        }
    }
}
