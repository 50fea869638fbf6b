// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Run reports: JSON, JUnit, Markdown, HTML, and the live table.
//!
//! Every format is a pure function of a [`RunReport`](tidelock_model::RunReport); [`write()`] is
//! the edge that touches files. Text that comes from a guest is foreign: each format escapes it.

pub mod compat;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod reproduce;
pub mod summary;

mod history;
mod live;
mod logs;
mod merge;
mod output;
mod paint;
mod plan;
mod text;
mod view;

pub use history::History;
pub use live::{DownloadProgress, Expected, Live};
pub use logs::{LogFile, collect as collect_logs};
pub use merge::{MergeError, merge, worst};
pub use output::{ReportError, json, link_latest, write};
pub use paint::Paint;
pub use plan::PlannedCell;

#[cfg(test)]
#[path = "../tests/common/fixture.rs"]
#[expect(unreachable_pub, reason = "integration tests share the file")]
mod fixture;

#[cfg(test)]
mod tests;
