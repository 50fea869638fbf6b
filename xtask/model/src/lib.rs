// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plain data shared by the stages of the factory: what a kernel is called, what a content
//! key is made of, and what a cell, a test and a run can say of themselves.
//!
//! Nothing here does IO.

mod digest;
mod kernel;
mod verdict;

pub use digest::{KeyBuilder, ParseDigestError, Sha256};
pub use kernel::{Arch, Flavour, ParseNameError, Release, Series, Tier};
pub use verdict::{
    CellReport, Crash, Durations, Measured, REPORT_FORMAT, RunReport, Status, TestReport,
};
