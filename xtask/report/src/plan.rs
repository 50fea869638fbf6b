// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was to be run: a result that is not there is told from one that was never asked for.

use tidelock_model::{
    Arch, CellReport, Durations, Flavour, Measured, Release, Status, TestReport, Tier,
};

use crate::reproduce;

/// One cell of the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedCell {
    /// `uname -r`.
    pub kernel: Release,
    /// `standard`, `cloud`, `rt`.
    pub flavour: Flavour,
    /// `amd64`.
    pub arch: Arch,
    /// The distribution's suite that the kernel was locked from.
    pub suite: String,
    /// The version of the kernel's package.
    pub version: String,
    /// The names of the tests it was to run.
    pub tests: Vec<String>,
}

impl PlannedCell {
    /// The report of a cell that has no result: `status` for the cell and all of its tests.
    ///
    /// The first word of `reason` is the named verdict, such as `missing-result`.
    pub fn without_result(
        &self,
        tier: Tier,
        status: Status,
        stage: &str,
        reason: &str,
    ) -> CellReport {
        let test = |name: &String| TestReport {
            name: name.clone(),
            status,
            duration_ms: 0,
            detail: reason.into(),
            measured: Measured::new(),
        };
        CellReport {
            kernel: self.kernel.clone(),
            series: self.kernel.series(),
            flavour: self.flavour,
            arch: self.arch,
            suite: self.suite.clone(),
            version: self.version.clone(),
            status,
            stage: stage.into(),
            reason: reason.into(),
            accelerator: String::new(),
            cached: false,
            durations_ms: Durations::new(),
            tests: self.tests.iter().map(test).collect(),
            crash: None,
            module_sha256: None,
            logs: String::new(),
            reproduce: reproduce::command(tier, &self.kernel, None),
        }
    }
}
