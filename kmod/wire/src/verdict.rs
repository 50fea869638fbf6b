// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What user space decides.

use crate::{
    DecodeError, EncodeError,
    codec::{Reader, Rule, Writer},
};

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Decision {
    /// It is refused.
    Deny,
    /// It is left as it is.
    Plain,
    /// It becomes mutual TLS, or is refused where that cannot be had.
    Mtls,
}

impl Decision {
    /// The number in frames and in the module's C (`TDL_DENY`, `TDL_PLAIN`, `TDL_MTLS`).
    pub const fn number(self) -> u8 {
        match self {
            Self::Deny => 1,
            Self::Plain => 2,
            Self::Mtls => 3,
        }
    }

    /// The decision with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Deny),
            2 => Some(Self::Plain),
            3 => Some(Self::Mtls),
            _ => None,
        }
    }
}

/// The longest that a verdict may be kept: a day.
pub const MAX_TTL_MS: u32 = 24 * 60 * 60 * 1000;

const REASON: Rule = Rule {
    field: "the reason",
    range: 0..=Verdict::KERNEL_REASONS - 1,
};

const TTL_MS: Rule = Rule {
    field: "the time to live",
    range: 0..=MAX_TTL_MS,
};

/// The answer to an [`crate::Ask`], under its frame id. One that comes too late is counted and
/// has no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What becomes of the connection.
    pub decision: Decision,
    /// Why, for people, as a number that user space gives a meaning to. It is shown in the
    /// connection table and in traces. [`Verdict::KERNEL_REASONS`] and above are the module's,
    /// and nobody else may give them.
    pub reason: u32,
    /// How long the kernel may keep it for the same identity and the same connection, in
    /// milliseconds, [`MAX_TTL_MS`] at most. 0: for those alone that wait for it.
    pub ttl_ms: u32,
    /// The policy it was made by. The kernel drops a verdict of another generation than its
    /// own, and asks anew.
    pub generation: u64,
}

impl Verdict {
    pub(crate) const LEN: u32 = 17;

    /// The first reason that belongs to the module itself: see [`KernelReason`].
    pub const KERNEL_REASONS: u32 = 0xffff_0000;

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u8(self.decision.number())?;
        REASON.write(self.reason, out)?;
        TTL_MS.write(self.ttl_ms, out)?;
        out.u64(self.generation)
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = from.u8()?;
        let decision = Decision::from_number(number).ok_or(DecodeError::Value {
            field: "the decision",
            value: number.into(),
        })?;
        Ok(Self {
            decision,
            reason: REASON.read(from)?,
            ttl_ms: TTL_MS.read(from)?,
            generation: from.u64()?,
        })
    }
}

/// Reasons of the module itself, in the connection table and in traces (`TDL_REASON_*`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KernelReason {
    /// Nobody answered in time.
    Timeout,
    /// Too many connections wait for a verdict.
    Overflow,
    /// The process cannot be told: a kernel thread works for it, or it has no executable.
    NoTask,
    /// There is no memory.
    NoMemory,
    /// The core has panicked, so that nobody can be asked.
    Dead,
    /// Policy wants mTLS and this module cannot do it.
    NoMtls,
    /// The destination is exempt.
    Exempt,
    /// The daemon's own.
    Daemon,
    /// Nothing is in force.
    Off,
}

impl KernelReason {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::Overflow,
        Self::NoTask,
        Self::NoMemory,
        Self::Dead,
        Self::NoMtls,
        Self::Exempt,
        Self::Daemon,
        Self::Off,
    ];

    /// The number where reasons are shown.
    pub const fn number(self) -> u32 {
        Verdict::KERNEL_REASONS
            + match self {
                Self::Timeout => 1,
                Self::Overflow => 2,
                Self::NoTask => 3,
                Self::NoMemory => 4,
                Self::Dead => 5,
                Self::NoMtls => 6,
                Self::Exempt => 7,
                Self::Daemon => 8,
                Self::Off => 9,
            }
    }

    /// The reason with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.number() == number)
    }
}
