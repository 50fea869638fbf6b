// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is refused most, and what the numbers of reasons mean.

use serde::{Deserialize, Serialize};

use crate::Direction;

/// Who was refused, and how often, since the daemon started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeniedReport {
    /// The most refused first.
    pub denied: Vec<Denied>,
    /// Refusals of those that are not listed, for the table is bounded.
    pub others: u64,
}

/// Refusals that are alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Denied {
    /// How many asks were refused. The kernel keeps verdicts: connections may be more.
    pub count: u64,
    /// The executable's path, or the process's own name where that is not known.
    pub who: String,
    /// Its user.
    pub uid: u32,
    /// Which end it was.
    pub direction: Direction,
    /// The other end; its port is 0 where the process accepts.
    pub remote: String,
    /// Why.
    pub reason: String,
}

/// What the numbers in the connection table and in traces mean.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReasonsReport {
    /// All that are known, by number.
    pub reasons: Vec<Reason>,
}

/// A reason for a verdict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// The number that the kernel carries.
    pub number: u32,
    /// What it means.
    pub text: String,
}
