// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a test, a cell and a run say of themselves.
//!
//! Serialised, [`RunReport`] is `report.json`, a stable interface: see `docs/report.md`.
//! Fields are only ever added; a change of meaning raises [`REPORT_FORMAT`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Arch, Flavour, Release, Series, Sha256, Tier};

/// The version of the format of `report.json`.
pub const REPORT_FORMAT: u32 = 1;

/// What a test measured, by name: the `# name: value` lines of its KTAP, such as
/// `stack_high_water`.
pub type Measured = BTreeMap<String, String>;

/// Milliseconds by stage (`fetch`, `probe`, `compile`, `check`, `boot`, `test`).
pub type Durations = BTreeMap<String, u64>;

/// The statuses of KCIDB, ordered from best to worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Ran, and every expectation held.
    Pass,
    /// Not run, for the reason given; never counted as a pass.
    Skip,
    /// Ran, and an expectation did not hold.
    Fail,
    /// The factory could not tell: its own fault, not the module's.
    Error,
    /// What was needed is no longer to be had (a vanished package, a result not written).
    Miss,
}

impl Status {
    /// The name, as in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Skip => "SKIP",
            Self::Fail => "FAIL",
            Self::Error => "ERROR",
            Self::Miss => "MISS",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One test on one kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestReport {
    /// Dotted, the area first: `load.module`, `device.two_openers`.
    pub name: String,
    /// What it came to.
    pub status: Status,
    /// From the restore of the machine to its last word, in milliseconds.
    pub duration_ms: u64,
    /// What was measured, or why it is not a pass. The first word of a failure is its named
    /// verdict, such as `kernel-oops` or `truncated-ktap`.
    pub detail: String,
    /// What it measured, for programs to compare between kernels.
    #[serde(skip_serializing_if = "Measured::is_empty", default)]
    pub measured: Measured,
}

/// What the kernel said when it fell over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Crash {
    /// The named verdict: `kernel-panic`, `kernel-oops`, `kernel-warning`, ...
    pub verdict: String,
    /// The first line that told it.
    pub headline: String,
    /// The frames of the call trace, the module's own with file and line.
    pub frames: Vec<String>,
}

/// One kernel of the matrix.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CellReport {
    /// `uname -r`.
    pub kernel: Release,
    /// Such as `6.12`.
    pub series: Series,
    /// `standard`, `cloud`, `rt`.
    pub flavour: Flavour,
    /// `amd64`.
    pub arch: Arch,
    /// The distribution's suite that the kernel was locked from.
    pub suite: String,
    /// The version of the kernel's package.
    pub version: String,
    /// The worst of its stages and tests.
    pub status: Status,
    /// The stage at which the cell ended: the last one when it passed.
    pub stage: String,
    /// Why it is not a pass, for people; empty when it is. The first word is the named verdict.
    pub reason: String,
    /// `tcg` or `kvm`; empty when the cell did not boot.
    pub accelerator: String,
    /// True where the whole result came from the cache, because nothing it depends on changed.
    pub cached: bool,
    /// By stage; of the run that produced the result.
    pub durations_ms: Durations,
    /// Every test of the plan, also those that could not run.
    pub tests: Vec<TestReport>,
    /// Present when the kernel fell over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub crash: Option<Crash>,
    /// The digest of the module that was tested; absent when it did not build.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_sha256: Option<Sha256>,
    /// The cell's folder under the run's folder: logs, the module, its probes.
    pub logs: String,
    /// The one command that runs this cell again.
    pub reproduce: String,
}

/// A run of the matrix.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// The name of the run's folder.
    pub run: String,
    /// The version of the factory and of the module: they are one.
    pub version: String,
    /// Start of the run, seconds since the epoch, UTC.
    pub started: u64,
    /// Wall time of the run, in milliseconds.
    pub duration_ms: u64,
    /// The tier asked for.
    pub tier: Tier,
    /// Whether every kernel of the tier and every test was asked for: false with `--kernel` or
    /// `--test`. Only what a complete run says of a kernel is a ground to ship for it.
    #[serde(default)]
    pub complete: bool,
    /// Kernels that the archive lists and does not serve, so that nothing can be said of them;
    /// told by complete runs of the tier full.
    #[serde(default)]
    pub missing: Vec<Release>,
    /// The digest of `matrix.lock`.
    pub lock_sha256: Sha256,
    /// What ran the guests, and why that and not another.
    pub accelerator: String,
    /// QEMU's own version line.
    pub qemu: String,
    /// Worst status of all cells.
    pub status: Status,
    /// Every cell of the plan.
    pub cells: Vec<CellReport>,
}

impl RunReport {
    /// How many cells have `status`.
    pub fn count(&self, status: Status) -> usize {
        self.cells
            .iter()
            .filter(|cell| cell.status == status)
            .count()
    }
}
