// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a process could not be attested.

use std::io;

/// A process is not shown to be what the kernel saw. It is refused, each time with the reason of
/// its own that [`AttestError::reason`] gives.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// It is not there any more, or ended while it was looked at.
    #[error("process {pid} ended before it was attested")]
    Gone {
        /// Its id.
        pid: u32,
    },
    /// Its number belongs to another process now.
    #[error(
        "pid {pid} belongs to another process now: started {found} ticks after boot, not {expected}"
    )]
    Reused {
        /// The number.
        pid: u32,
        /// When the one that asked started.
        expected: u64,
        /// When the one that is there started.
        found: u64,
    },
    /// It runs another executable than when it asked, or that was changed since.
    #[error("process {pid} does not run the executable it asked with: {difference}")]
    ExecutableChanged {
        /// Its id.
        pid: u32,
        /// What is different.
        difference: String,
    },
    /// The executable's device cannot be shown to be the kernel's.
    #[error(
        "the executable of process {pid} is on device {found:?}, and the kernel says {expected:?}"
    )]
    OtherDevice {
        /// Its id.
        pid: u32,
        /// By the kernel.
        expected: (u32, u32),
        /// By the file system.
        found: (u32, u32),
    },
    /// The executable was written to while it was read.
    #[error("the executable of process {pid} was changed while it was read")]
    Changing {
        /// Its id.
        pid: u32,
    },
    /// The executable is larger than is read.
    #[error("the executable of process {pid} has {size} bytes, and {limit} at most are read")]
    TooLarge {
        /// Its id.
        pid: u32,
        /// Its size.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
    /// There was no time.
    #[error("attesting process {pid} took too long")]
    Timeout {
        /// Its id.
        pid: u32,
    },
    /// Something of it cannot be read.
    #[error("cannot read {what} of process {pid}: {source}")]
    Unreadable {
        /// Its id.
        pid: u32,
        /// What, as a path below `/proc/PID`.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A plug-in refused it.
    #[error("{attestor}: {message}")]
    Refused {
        /// The plug-in's name.
        attestor: &'static str,
        /// What it says, for the log.
        message: String,
    },
}

impl AttestError {
    /// The reason that the verdict carries. One of a few: nothing that a process can choose is in
    /// it, so that nobody can fill the table of reasons.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "attestation: the process ended",
            Self::Reused { .. } => "attestation: the pid was reused by another process",
            Self::ExecutableChanged { .. } => "attestation: the executable changed",
            Self::OtherDevice { .. } => "attestation: the executable is on another device",
            Self::Changing { .. } => "attestation: the executable was written to while read",
            Self::TooLarge { .. } => "attestation: the executable is too large",
            Self::Timeout { .. } => "attestation: took too long",
            Self::Unreadable { .. } => "attestation: the process cannot be read",
            Self::Refused { .. } => "attestation: a plug-in refused the process",
        }
    }
}
