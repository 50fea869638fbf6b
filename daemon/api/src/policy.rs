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
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// The bundle's folder, as the daemon sees it; none: the one in force.
    #[serde(default)]
    pub path: Option<PathBuf>,
}

/// How the tests that a bundle brings along ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestReport {
    /// Each test. None at all is not a pass.
    pub tests: Vec<TestCase>,
}

impl TestReport {
    /// Whether there are tests, and all passed.
    pub fn passed(&self) -> bool {
        !self.tests.is_empty() && self.tests.iter().all(|test| test.failure.is_none())
    }
}

/// One test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestCase {
    /// Its name.
    pub name: String,
    /// How it failed, if so.
    pub failure: Option<String>,
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
