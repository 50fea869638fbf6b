// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said when a request is not carried out.

use serde::{Deserialize, Serialize};

/// The body of every answer that is not a success.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorReport {
    /// What went wrong, and the cure where one is known.
    pub error: String,
}
