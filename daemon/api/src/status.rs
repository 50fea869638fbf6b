// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How it goes.

use serde::{Deserialize, Serialize};

use crate::{Mode, ModeReport, PolicyReport};

/// How it goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// The daemon's version.
    pub version: String,
    /// When the daemon started, as RFC 3339 has it.
    pub started: String,
    /// What is to be in force.
    pub mode: ModeReport,
    /// The policy in force.
    pub policy: PolicyReport,
    /// The way to the kernel.
    pub device: DeviceReport,
    /// Who signs SVIDs.
    pub authority: AuthorityReport,
    /// What the kernel said just now; none while it cannot be asked.
    pub kernel: Option<KernelReport>,
    /// What the daemon itself has done since it started.
    pub counts: Counts,
}

impl StatusReport {
    /// Whether the kernel and the daemon are of one mind: connected, and what is to be in force
    /// is.
    pub fn healthy(&self) -> bool {
        let agreed = |kernel: &KernelReport| {
            kernel.mode == self.mode.mode && kernel.generation == self.policy.generation
        };
        self.device.state == DeviceState::Serving
            && self.policy.trouble.is_none()
            && self.authority.trouble.is_none()
            && self.kernel.as_ref().is_some_and(agreed)
    }
}

/// Who signs SVIDs.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct AuthorityReport {
    /// The trust domain it signs for; none: nobody signs.
    pub trust_domain: Option<String>,
    /// What went wrong, until it is mended.
    pub trouble: Option<String>,
    /// SVIDs issued since the daemon started.
    pub issued: u64,
    /// Requests for one that were refused since then.
    pub refused: u64,
}

/// How far the way to the kernel is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceState {
    /// The device is not there, or cannot be opened.
    Waiting,
    /// Open; it has not yet said that the settings are in force.
    Opening,
    /// Questions are answered.
    Serving,
}

/// The way to the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Where it is.
    pub path: String,
    /// How far it is open.
    pub state: DeviceState,
    /// What went wrong last, while it is not open.
    pub trouble: Option<String>,
    /// Who is there; none before the first hello.
    pub module: Option<ModuleReport>,
    /// How often it was opened.
    pub opened: u64,
}

/// The module's hello.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModuleReport {
    /// Its version.
    pub version: String,
    /// The version of what it speaks.
    pub abi: u32,
    /// What the kernel offers, by name.
    pub capabilities: Vec<String>,
    /// Whether its core answers.
    pub ready: bool,
    /// Panics of the core since the module was loaded.
    pub panics: u64,
    /// Frames it refused since then.
    pub frames_refused: u64,
}

/// What the kernel says is in force and has happened, since the module was loaded. The numbers
/// are those of `tidelock_wire::Status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is documented where it is counted")]
pub struct KernelReport {
    pub mode: Mode,
    pub generation: u64,
    pub deadline_ms: u32,
    pub waiting: u32,
    pub kept: u32,
    pub connects: u64,
    pub accepts: u64,
    pub hits: u64,
    pub asks: u64,
    pub allowed: u64,
    pub denied: u64,
    pub would_deny: u64,
    pub timeouts: u64,
    pub overflows: u64,
    pub late: u64,
    pub stale: u64,
    pub dropped: u64,
}

/// What the daemon has done since it started.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Questions answered.
    pub answered: u64,
    /// Of these, with a refusal by policy.
    pub denied: u64,
    /// Of these, refused because the process could not be attested or the policy failed.
    pub errors: u64,
    /// Questions being answered now.
    pub busy: u64,
    /// Executables hashed.
    pub hashed: u64,
    /// Lines left out of the audit.
    pub audit_suppressed: u64,
}
