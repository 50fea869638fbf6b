// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon and whoever administers it say to each other: JSON over HTTP/1 over a Unix
//! socket.
//!
//! Every path begins with [`paths::V1`]. Within a version fields are added and never changed or
//! taken away: readers ignore what they do not know. Requests are strict the other way round: a
//! field that the daemon does not know is refused, for it cannot be obeyed.
#![forbid(unsafe_code)]

pub mod connections;
mod denied;
mod error;
mod explain;
mod mode;
pub mod paths;
mod policy;
mod status;

pub use connections::{Connection, ConnectionsReport, TableError};
pub use denied::{Denied, DeniedReport, Reason, ReasonsReport};
pub use error::ErrorReport;
pub use explain::{Attested, Decided, Direction, ExplainReport, ExplainRequest};
pub use mode::{Mode, ModeReport, ModeRequest, ModeSource, UnknownMode};
pub use policy::{
    ActivateRequest, HistoryReport, PolicyReport, Revision, TestCase, TestOutcome, TestReport,
    TestRequest,
};
pub use status::{
    AuthorityReport, Counts, DeviceReport, DeviceState, KernelReport, ModuleReport, StatusReport,
};

/// Where the daemon listens when nothing else is said.
pub const DEFAULT_SOCKET: &str = "/run/tidelock/api.sock";
