// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What user space decides.

use tidelock_spiffe::SpiffeIdRef;

use crate::{
    DecodeError, EncodeError, Peers,
    codec::{Reader, Rule, Writer},
    list::{Limits, read_workload, write_workload},
    trust::text_len,
};

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision<'a> {
    /// It is refused.
    Deny,
    /// It is left as it is.
    Plain,
    /// It becomes mutual TLS, or is refused where that cannot be had.
    Mtls(Terms<'a>),
}

impl Decision<'_> {
    /// The number in frames and in the module's C (`TDL_DENY`, `TDL_PLAIN`, `TDL_MTLS`).
    pub const fn number(&self) -> u8 {
        match self {
            Self::Deny => DENY,
            Self::Plain => PLAIN,
            Self::Mtls(_) => MTLS,
        }
    }
}

const DENY: u8 = 1;
const PLAIN: u8 = 2;
const MTLS: u8 = 3;

/// Who the process is, and with whom it may speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms<'a> {
    /// Who shares its key.
    pub scope: Scope,
    /// Its own identity: a workload's.
    pub own: SpiffeIdRef<'a>,
    /// Who may be at the other end: any of these, 64 at most. Never empty: nobody is never anyone.
    pub peers: Peers<'a>,
}

/// Who shares the key of an SVID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// The threads of one process.
    Process,
    /// All processes of the same executable, credentials, control group and namespaces.
    Workload,
}

impl Scope {
    /// The number in frames.
    pub const fn number(self) -> u8 {
        match self {
            Self::Process => 1,
            Self::Workload => 2,
        }
    }

    /// The scope with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Process),
            2 => Some(Self::Workload),
            _ => None,
        }
    }
}

/// The most peers that a verdict names.
pub const MAX_PEERS: u8 = 64;

const PEERS: Limits = Limits {
    field: "the number of peers",
    count: 1..=MAX_PEERS,
};

impl<'a> Terms<'a> {
    /// How many bytes at the end of a verdict's frame they are.
    pub fn encoded_len(&self) -> usize {
        // No more than a frame.
        usize::try_from(self.len()).unwrap_or(usize::MAX)
    }

    /// How many of those, from their beginning, say who the process is: the scope, and the SPIFFE
    /// ID with its length in 16 bits before it. They are alike where that is.
    pub const fn own_len(&self) -> usize {
        1 + 2 + self.own.as_str().len()
    }

    /// Reads what [`Self::encoded_len`] tells the length of.
    ///
    /// # Errors
    /// When it holds anything else.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(0, bytes);
        let terms = Self::read(&mut from)?;
        from.finish()?;
        Ok(terms)
    }

    /// The same of what [`Self::own_len`] tells the length of.
    ///
    /// # Errors
    /// When it holds anything else.
    pub fn decode_own(bytes: &'a [u8]) -> Result<(Scope, SpiffeIdRef<'a>), DecodeError> {
        let mut from = Reader::new(0, bytes);
        let own = Self::read_own(&mut from)?;
        from.finish()?;
        Ok(own)
    }

    fn len(&self) -> u32 {
        1 + text_len(self.own.as_str()) + self.peers.len()
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u8(self.scope.number())?;
        write_workload(self.own, out)?;
        self.peers.write(&PEERS, out)
    }

    fn read_own(from: &mut Reader<'a>) -> Result<(Scope, SpiffeIdRef<'a>), DecodeError> {
        let number = from.u8()?;
        let scope = Scope::from_number(number).ok_or(DecodeError::Value {
            field: "the scope of an SVID",
            value: number.into(),
        })?;
        Ok((scope, read_workload(from)?))
    }

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (scope, own) = Self::read_own(from)?;
        Ok(Self {
            scope,
            own,
            peers: Peers::read(&PEERS, from)?,
        })
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
pub struct Verdict<'a> {
    /// What becomes of the connection.
    pub decision: Decision<'a>,
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

impl Verdict<'_> {
    /// The first reason that belongs to the module itself: see [`KernelReason`].
    pub const KERNEL_REASONS: u32 = 0xffff_0000;
}

impl<'a> Verdict<'a> {
    pub(crate) fn len(&self) -> u32 {
        1 + 4
            + 4
            + 8
            + match &self.decision {
                Decision::Deny | Decision::Plain => 0,
                Decision::Mtls(terms) => terms.len(),
            }
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u8(self.decision.number())?;
        REASON.write(self.reason, out)?;
        TTL_MS.write(self.ttl_ms, out)?;
        out.u64(self.generation)?;
        match &self.decision {
            Decision::Deny | Decision::Plain => Ok(()),
            Decision::Mtls(terms) => terms.write(out),
        }
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let number = from.u8()?;
        let (reason, ttl_ms, generation) = (REASON.read(from)?, TTL_MS.read(from)?, from.u64()?);
        let decision = match number {
            DENY => Decision::Deny,
            PLAIN => Decision::Plain,
            MTLS => Decision::Mtls(Terms::read(from)?),
            _ => {
                return Err(DecodeError::Value {
                    field: "the decision",
                    value: number.into(),
                });
            }
        };
        Ok(Self {
            decision,
            reason,
            ttl_ms,
            generation,
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
    /// Policy wants mTLS, and the process has no SVID: it was not issued, or not in time.
    NoSvid,
    /// The handshake failed.
    Handshake,
    /// The peer is nobody whom the verdict names, or nobody vouches for it.
    Peer,
    /// The handshake was not done in time.
    Slow,
}

impl KernelReason {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::Timeout,
        Self::Overflow,
        Self::NoTask,
        Self::NoMemory,
        Self::Dead,
        Self::NoMtls,
        Self::Exempt,
        Self::Daemon,
        Self::Off,
        Self::NoSvid,
        Self::Handshake,
        Self::Peer,
        Self::Slow,
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
                Self::NoSvid => 10,
                Self::Handshake => 11,
                Self::Peer => 12,
                Self::Slow => 13,
            }
    }

    /// The reason with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.number() == number)
    }
}
