// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The paths of the interface. `GET` reads, `PUT` and `POST` change or ask with a body.

/// What every path begins with.
pub const V1: &str = "/v1";
/// `GET`: [`crate::StatusReport`].
pub const STATUS: &str = "/v1/status";
/// `GET`: [`crate::ModeReport`]. `PUT` with a [`crate::ModeRequest`]: the same.
pub const MODE: &str = "/v1/mode";
/// `GET`: [`crate::ConnectionsReport`].
pub const CONNECTIONS: &str = "/v1/connections";
/// `POST` with an [`crate::ExplainRequest`]: [`crate::ExplainReport`].
pub const EXPLAIN: &str = "/v1/explain";
/// `GET`: [`crate::DeniedReport`].
pub const DENIED: &str = "/v1/denied";
/// `GET`: [`crate::ReasonsReport`].
pub const REASONS: &str = "/v1/reasons";
/// `GET`: [`crate::PolicyReport`].
pub const POLICY: &str = "/v1/policy";
/// `POST` with an [`crate::ActivateRequest`]: [`crate::PolicyReport`].
pub const ACTIVATE: &str = "/v1/policy/activate";
/// `POST`: [`crate::PolicyReport`].
pub const ROLLBACK: &str = "/v1/policy/rollback";
/// `POST` with a [`crate::TestRequest`]: [`crate::TestReport`].
pub const TEST: &str = "/v1/policy/test";
/// `GET`: [`crate::HistoryReport`].
pub const HISTORY: &str = "/v1/policy/history";
