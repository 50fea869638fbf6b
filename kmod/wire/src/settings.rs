// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What is in force, and how it goes.

use core::net::IpAddr;

use crate::{
    DecodeError, EncodeError,
    ask::{read_ip, write_ip},
    codec::{Reader, Rule, Writer},
};

/// What happens to connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// Nothing: nobody is asked.
    Off,
    /// Everybody is asked and nobody refused; what would have been is counted and traced.
    Permissive,
    /// What is not allowed is refused.
    Enforce,
}

impl Mode {
    /// The number in frames and in the module's C (`TDL_OFF`, `TDL_PERMISSIVE`, `TDL_ENFORCE`).
    pub const fn number(self) -> u8 {
        match self {
            Self::Off => 1,
            Self::Permissive => 2,
            Self::Enforce => 3,
        }
    }

    /// The mode with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Off),
            2 => Some(Self::Permissive),
            3 => Some(Self::Enforce),
            _ => None,
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = from.u8()?;
        Self::from_number(number).ok_or(DecodeError::Value {
            field: "the mode",
            value: number.into(),
        })
    }
}

/// Addresses that begin alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Prefix {
    /// Its bits behind the length are zero.
    address: IpAddr,
    length: u8,
}

impl Prefix {
    pub(crate) const LEN: u32 = 18;

    /// The prefix of `length` bits; none when the address has bits behind them, or not so many,
    /// and none within `::ffff:0:0/96`: no connection is looked up there, so that such a prefix
    /// would be silently useless. IPv4 is written as IPv4.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let (bits, width) = match address {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32),
            IpAddr::V6(ip) => (ip.to_bits(), 128),
        };
        let rest = bits.checked_shl(length.into()).unwrap_or(0);
        let canonical = address.to_canonical() == address;
        (length <= width && rest == 0 && canonical).then_some(Self { address, length })
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits count.
    pub const fn length(&self) -> u8 {
        self.length
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        write_ip(self.address, out)?;
        out.u8(self.length)
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let address = read_ip(from)?;
        let length = from.u8()?;
        Self::new(address, length).ok_or(DecodeError::Value {
            field: "the length of a prefix",
            value: length.into(),
        })
    }
}

/// How many prefixes may be exempt.
pub const MAX_EXEMPT: usize = 32;

/// Prefixes to or from which nobody is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exempt {
    prefixes: [Option<Prefix>; MAX_EXEMPT],
    count: u8,
}

impl Exempt {
    /// None at all.
    pub const NONE: Self = Self {
        prefixes: [None; MAX_EXEMPT],
        count: 0,
    };

    /// These; none when there are more than [`MAX_EXEMPT`].
    pub fn new(list: &[Prefix]) -> Option<Self> {
        let mut exempt = Self::NONE;
        for (place, prefix) in exempt.prefixes.get_mut(..list.len())?.iter_mut().zip(list) {
            *place = Some(*prefix);
        }
        exempt.count = u8::try_from(list.len()).ok()?;
        Some(exempt)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.prefixes.iter().flatten().copied()
    }
}

/// The shortest and the longest that a process may be made to wait for a verdict.
pub const DEADLINE_MS: core::ops::RangeInclusive<u32> = 10..=60_000;

const DEADLINE: Rule = Rule {
    field: "the deadline",
    range: DEADLINE_MS,
};

/// What is to be in force from now on, until it is said otherwise: it outlives who said it.
/// Answered by [`crate::Answer::Status`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What happens to connections.
    pub mode: Mode,
    /// The policy in force. Another one than before drops all verdicts that are kept.
    pub generation: u64,
    /// How long a process waits for a verdict, in milliseconds, within [`DEADLINE_MS`].
    pub deadline_ms: u32,
    /// Prefixes to or from which nobody is asked.
    pub exempt: Exempt,
}

impl Settings {
    pub(crate) fn len(&self) -> u32 {
        1 + 8 + 4 + 1 + u32::from(self.exempt.count) * Prefix::LEN
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u8(self.mode.number())?;
        out.u64(self.generation)?;
        DEADLINE.write(self.deadline_ms, out)?;
        out.u8(self.exempt.count)?;
        self.exempt.iter().try_for_each(|prefix| prefix.write(out))
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mode, generation) = (Mode::read(from)?, from.u64()?);
        let deadline_ms = DEADLINE.read(from)?;
        let count = from.u8()?;
        let mut exempt = Exempt::NONE;
        let places = exempt.prefixes.get_mut(..count.into());
        for place in places.ok_or(DecodeError::Value {
            field: "the number of exempt prefixes",
            value: count.into(),
        })? {
            *place = Some(Prefix::read(from)?);
        }
        exempt.count = count;
        Ok(Self {
            mode,
            generation,
            deadline_ms,
            exempt,
        })
    }
}

/// How many numbers [`Counters`] has.
const COUNTERS: usize = 12;

/// What has happened since the module was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub struct Counters {
    /// Connections that were looked at.
    pub connects: u64,
    /// Accepted connections that were looked at.
    pub accepts: u64,
    /// Of both, those for which a kept verdict served.
    pub hits: u64,
    /// Questions to user space.
    pub asks: u64,
    /// Connections let through.
    pub allowed: u64,
    /// Connections refused, whatever for.
    pub denied: u64,
    /// Connections let through in permissive mode that would have been refused.
    pub would_deny: u64,
    /// Questions that nobody answered in time.
    pub timeouts: u64,
    /// Questions that were not asked, as too many waited.
    pub overflows: u64,
    /// Verdicts that nobody waited for any more.
    pub late: u64,
    /// Verdicts of another policy than the one in force.
    pub stale: u64,
    /// Segments dropped that would have opened or answered a connection nobody decided on.
    pub dropped: u64,
}

impl Counters {
    fn numbers(&self) -> [u64; COUNTERS] {
        [
            self.connects,
            self.accepts,
            self.hits,
            self.asks,
            self.allowed,
            self.denied,
            self.would_deny,
            self.timeouts,
            self.overflows,
            self.late,
            self.stale,
            self.dropped,
        ]
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            connects: from.u64()?,
            accepts: from.u64()?,
            hits: from.u64()?,
            asks: from.u64()?,
            allowed: from.u64()?,
            denied: from.u64()?,
            would_deny: from.u64()?,
            timeouts: from.u64()?,
            overflows: from.u64()?,
            late: from.u64()?,
            stale: from.u64()?,
            dropped: from.u64()?,
        })
    }
}

/// To [`crate::Request::Configure`] and [`crate::Request::Status`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// What is in force.
    pub mode: Mode,
    /// The policy in force.
    pub generation: u64,
    /// How long a process waits for a verdict, in milliseconds.
    pub deadline_ms: u32,
    /// How many wait now.
    pub waiting: u32,
    /// How many verdicts are kept now.
    pub kept: u32,
    /// What has happened so far.
    pub counters: Counters,
}

impl Status {
    pub(crate) const LEN: u32 = 1 + 8 + 3 * 4 + 8 * 12;

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u8(self.mode.number())?;
        out.u64(self.generation)?;
        for number in [self.deadline_ms, self.waiting, self.kept] {
            out.u32(number)?;
        }
        let mut numbers = self.counters.numbers().into_iter();
        numbers.try_for_each(|number| out.u64(number))
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            mode: Mode::read(from)?,
            generation: from.u64()?,
            deadline_ms: from.u32()?,
            waiting: from.u32()?,
            kept: from.u32()?,
            counters: Counters::read(from)?,
        })
    }
}
