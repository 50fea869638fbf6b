// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests that take long, dealt out among some kernels when a whole tier is run: an emulated guest
//! needs minutes for them, and there are a hundred kernels. What is left out is told as skipped.

use tidelock_matrix::Cell;
use tidelock_model::{Measured, Status, TestReport, Tier};

use super::lab::Lab;

impl Lab {
    /// Whether a cell leaves this test to others.
    fn leaves_out(&self, cell: &Cell, test: &str) -> bool {
        if !self.sparing {
            return false;
        }
        let profile = &self.plans.matrix.test;
        let mut heavy = self.tests.iter().filter(|name| profile.is_heavy(name));
        let Some(nth) = heavy.position(|name| name == test) else {
            return false;
        };
        !cell
            .heavy
            .is_some_and(|place| place.takes(nth, profile.heavy_each))
    }

    /// The tests that a cell runs, in order.
    pub(super) fn tests_of(&self, cell: &Cell) -> Vec<String> {
        let runs = |test: &&String| !self.leaves_out(cell, test);
        self.tests.iter().filter(runs).cloned().collect()
    }
}

/// What a cell has run, and in its place what it has left to other kernels, as skipped.
pub(super) fn with_left_out(lab: &Lab, cell: &Cell, ran: Vec<TestReport>) -> Vec<TestReport> {
    let tier = lab.plans.matrix.test.heavy_tier;
    merged(&lab.tests, |test| lab.leaves_out(cell, test), tier, ran)
}

fn merged(
    all: &[String],
    leaves_out: impl Fn(&str) -> bool,
    tier: Tier,
    ran: Vec<TestReport>,
) -> Vec<TestReport> {
    let mut ran = ran.into_iter().peekable();
    let mut tests = Vec::new();
    for name in all {
        if let Some(report) = ran.next_if(|report| report.name == *name) {
            tests.push(report);
        } else if leaves_out(name) {
            tests.push(left_out(name, tier));
        }
    }
    tests.extend(ran);
    tests
}

fn left_out(name: &str, tier: Tier) -> TestReport {
    TestReport {
        name: name.into(),
        status: Status::Skip,
        duration_ms: 0,
        detail: format!("left-out: it takes long; another kernel of the tier {tier} runs it"),
        measured: Measured::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_stands_in_its_place_and_nothing_that_ran_is_lost() {
        let all = ["load.module", "load.cycles", "policy.off"].map(str::to_owned);
        let ran = |name: &str| TestReport {
            status: Status::Pass,
            ..left_out(name, Tier::Quick)
        };
        let merge = |names: &[&str]| {
            let ran = names.iter().map(|name| ran(name)).collect();
            let tests = merged(&all, |test| test == "load.cycles", Tier::Quick, ran);
            let told = |test: TestReport| format!("{} {}", test.name, test.status);
            tests.into_iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(
            merge(&["load.module", "policy.off"]),
            ["load.module PASS", "load.cycles SKIP", "policy.off PASS"]
        );
        assert_eq!(
            merge(&["load.module", "load.cycles", "policy.off", "other.test"]).join(","),
            "load.module PASS,load.cycles PASS,policy.off PASS,other.test PASS"
        );
        // A test that should have run and did not is not told as left out.
        assert_eq!(merge(&["load.module"]).len(), 2);
    }
}
