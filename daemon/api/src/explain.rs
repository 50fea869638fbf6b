// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What would be decided, and why.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Which end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It connects.
    Connect,
    /// It accepts.
    Accept,
}

impl Direction {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Accept => "accept",
        }
    }
}

/// What would be decided for this process?
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The process, as the daemon's pid namespace numbers it.
    pub pid: u32,
    /// Which end it would be.
    pub direction: Direction,
    /// The other end.
    pub remote: SocketAddr,
    /// Its own end; unspecified when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
}

/// What would be decided, and on what ground.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ExplainReport {
    /// What would be decided.
    pub decision: Decided,
    /// What is known of the process.
    pub attested: Attested,
    /// What the policy was asked: its `input`.
    pub input: serde_json::Value,
    /// What each rule says of it, and which lines were evaluated; none where the policy failed.
    /// As the policy engine gives it.
    pub account: Option<serde_json::Value>,
    /// What else must be known to read this.
    pub notes: Vec<String>,
    /// The policy's revision.
    pub revision: String,
    /// The policy's digest.
    pub digest: String,
}

/// A decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// `deny`, `plain` or `mtls`.
    pub mode: String,
    /// Why, for people.
    pub reason: String,
    /// The identity assigned.
    pub spiffe_id: Option<String>,
    /// The peers allowed.
    pub peers: Vec<String>,
    /// How long it may be kept, in seconds.
    pub ttl_seconds: u32,
}

/// What is known of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attested {
    /// Its id.
    pub pid: u32,
    /// The real user id.
    pub uid: u32,
    /// Its own name for itself. It can say anything.
    pub comm: String,
    /// The executable's path, as the process itself would name it.
    pub exe: Option<String>,
    /// The executable's SHA-256, in hexadecimal.
    pub exe_sha256: Option<String>,
    /// The path of the control group.
    pub cgroup: Option<String>,
    /// The systemd unit.
    pub systemd_unit: Option<String>,
    /// The id of the container.
    pub container: Option<String>,
    /// The uid of the Kubernetes pod.
    pub pod: Option<String>,
}
