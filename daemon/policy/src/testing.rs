// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tests that a policy brings along: rules named `test_…`, as `opa test` runs them.

use std::fmt;

use serde::Serialize;

use crate::{bundle::Bundle, engine::RuleName, error::PolicyError, policy::Policy};

/// What a test begins with.
const PREFIX: &str = "test_";
/// What a test begins with that is not run, as in OPA.
const SKIPPED: &str = "todo_test_";

/// Where a test is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Location {
    /// The file of the bundle.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// How a test went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "reason")]
pub enum TestOutcome {
    /// The rule is true, or has another value than false.
    Pass,
    /// The rule is false or undefined.
    Fail,
    /// The rule cannot be evaluated.
    Error(String),
    /// It is marked as not ready (`todo_test_…`).
    Skipped,
}

/// One test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TestCase {
    /// The rule, such as `data.tidelock_test.test_known`.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// How it went.
    #[serde(flatten)]
    pub outcome: TestOutcome,
}

/// All tests of a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TestReport {
    /// Each, in the order of the names.
    pub cases: Vec<TestCase>,
}

impl TestReport {
    /// Whether nothing failed. A bundle without tests passes.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// What failed or could not be evaluated.
    pub fn failures(&self) -> impl Iterator<Item = &TestCase> {
        self.cases
            .iter()
            .filter(|case| matches!(case.outcome, TestOutcome::Fail | TestOutcome::Error(_)))
    }
}

impl fmt::Display for TestReport {
    /// What did not pass, a line each, and a sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            let Location { file, line } = &case.location;
            match &case.outcome {
                TestOutcome::Pass => continue,
                TestOutcome::Fail => writeln!(f, "{file}:{line}: {}: FAIL", case.name)?,
                TestOutcome::Error(reason) => {
                    writeln!(f, "{file}:{line}: {}: ERROR: {reason}", case.name)?;
                }
                TestOutcome::Skipped => writeln!(f, "{file}:{line}: {}: SKIPPED", case.name)?,
            }
        }
        let count = |wanted: fn(&TestOutcome) -> bool| {
            self.cases
                .iter()
                .filter(|case| wanted(&case.outcome))
                .count()
        };
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            count(|outcome| *outcome == TestOutcome::Pass),
            self.failures().count(),
            count(|outcome| *outcome == TestOutcome::Skipped),
        )
    }
}

/// Runs the tests of a bundle. The report says how they went; an error, that the bundle is no
/// policy.
pub fn test(bundle: &Bundle) -> Result<TestReport, PolicyError> {
    Ok(run(&Policy::load(bundle)?))
}

/// Runs the tests of a policy.
pub(crate) fn run(policy: &Policy) -> TestReport {
    let program = policy.program();
    let mut tests: Vec<&RuleName> = program.rules.iter().filter(|rule| is_test(rule)).collect();
    // Two rules of one name are one test, as they are one rule.
    tests.dedup_by(|b, a| a.path == b.path);
    let case = |rule: &RuleName| TestCase {
        name: rule.path.clone(),
        location: Location {
            file: rule.file.clone(),
            line: rule.line,
        },
        outcome: if rule.name().starts_with(SKIPPED) {
            TestOutcome::Skipped
        } else {
            match program.evaluate(None, &rule.path) {
                Ok(None | Some(serde_json::Value::Bool(false))) => TestOutcome::Fail,
                Ok(Some(_)) => TestOutcome::Pass,
                Err(error) => TestOutcome::Error(error.to_string()),
            }
        },
    };
    TestReport {
        cases: tests.into_iter().map(case).collect(),
    }
}

pub(crate) fn is_test(rule: &RuleName) -> bool {
    [PREFIX, SKIPPED]
        .iter()
        .any(|prefix| rule.name().starts_with(prefix))
}
