// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Lists of things that differ in length, without an allocator: as they are in the frame.

use core::{marker::PhantomData, ops::RangeInclusive};

use tidelock_spiffe::{SpiffeIdRef, TrustDomainRef};

use crate::{
    DecodeError, EncodeError,
    codec::{Reader, Writer},
};

/// The longest list in a frame, in bytes, with the lengths of its members.
pub const MAX_LIST: usize = 12 * 1024;

/// A member of a list. Implemented by [`Peer`] and [`Certificate`] only.
pub trait Member<'a>: Copy + sealed::Codec<'a> {
    /// The same for all lifetimes: a list is made of what it is a list of.
    type Kind;
}

/// The kind of a [`Peer`].
#[derive(Clone, Copy, Debug)]
pub enum PeerKind {}

/// The kind of a [`Certificate`].
#[derive(Clone, Copy, Debug)]
pub enum CertificateKind {}

pub(crate) mod sealed {
    use super::{DecodeError, EncodeError, Reader, Writer};

    /// The member's codec.
    pub trait Codec<'a>: Sized {
        /// Reads one.
        fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError>;
        /// Appends it.
        fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError>;
    }
}

/// A list of members in the form they have in a frame, each of them checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct List<'a, M> {
    encoded: &'a [u8],
    count: u8,
    members: PhantomData<M>,
}

/// How many members a message takes.
pub(crate) struct Limits {
    /// The list, for errors.
    pub(crate) field: &'static str,
    /// How many it may have.
    pub(crate) count: RangeInclusive<u8>,
}

impl Limits {
    fn check(&self, count: u8, len: usize) -> Result<(), (&'static str, u64)> {
        if !self.count.contains(&count) {
            return Err((self.field, count.into()));
        }
        if len > MAX_LIST {
            return Err((LENGTH, len as u64));
        }
        Ok(())
    }
}

const LENGTH: &str = "the length of a list";

impl<'a, M: Member<'a>> List<'a, M> {
    /// None at all.
    pub const NONE: Self = Self {
        encoded: &[],
        count: 0,
        members: PhantomData,
    };

    /// These, encoded to the start of `buffer`, for which [`MAX_LIST`] bytes always suffice.
    ///
    /// # Errors
    /// When they are more than any list holds, or one of them could not be read again.
    pub fn encode<'m, N: Member<'m, Kind = M::Kind>>(
        members: impl IntoIterator<Item = N>,
        buffer: &'a mut [u8],
    ) -> Result<Self, EncodeError> {
        let (mut writer, mut count) = (Writer::new(buffer), 0_u8);
        for member in members {
            count = count.checked_add(1).ok_or(EncodeError::Value {
                field: "the number of a list's members",
                value: 256,
            })?;
            member.write(&mut writer)?;
        }
        let len = writer.finish();
        Ok(Self {
            encoded: buffer.get(..len).unwrap_or_default(),
            count,
            members: PhantomData,
        })
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = M> + use<'a, M> {
        let mut reader = Reader::new(0, self.encoded);
        // Each of them was read or written before.
        (0..self.count).map_while(move |_| M::read(&mut reader).ok())
    }

    /// How many there are.
    pub const fn count(&self) -> u8 {
        self.count
    }

    pub(crate) fn len(&self) -> u32 {
        // One that is far too long is refused when it is written.
        1 + u32::try_from(self.encoded.len()).unwrap_or(u32::MAX - 1)
    }

    pub(crate) fn write(&self, limits: &Limits, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        limits
            .check(self.count, self.encoded.len())
            .map_err(|(field, value)| EncodeError::Value { field, value })?;
        out.u8(self.count)?;
        out.bytes(self.encoded)
    }

    pub(crate) fn read(limits: &Limits, from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let value = |(field, value)| DecodeError::Value { field, value };
        let count = from.u8()?;
        limits.check(count, 0).map_err(value)?;
        let mark = from.mark();
        for _ in 0..count {
            M::read(from)?;
        }
        let encoded = from.since(mark);
        limits.check(count, encoded.len()).map_err(value)?;
        Ok(Self {
            encoded,
            count,
            members: PhantomData,
        })
    }
}

/// Who may be at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer<'a> {
    /// This workload.
    Workload(SpiffeIdRef<'a>),
    /// Any workload of this trust domain.
    Domain(TrustDomainRef<'a>),
}

const WORKLOAD: u8 = 1;
const DOMAIN: u8 = 2;

impl<'a> Member<'a> for Peer<'a> {
    type Kind = PeerKind;
}

impl<'a> sealed::Codec<'a> for Peer<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match from.u8()? {
            WORKLOAD => read_workload(from).map(Self::Workload),
            DOMAIN => read_domain(from).map(Self::Domain),
            number => Err(DecodeError::Value {
                field: "the kind of a peer",
                value: number.into(),
            }),
        }
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Workload(id) => {
                out.u8(WORKLOAD)?;
                write_workload(*id, out)
            }
            Self::Domain(domain) => {
                out.u8(DOMAIN)?;
                write_domain(*domain, out)
            }
        }
    }
}

/// The SPIFFE ID of a workload.
pub(crate) fn read_workload<'a>(from: &mut Reader<'a>) -> Result<SpiffeIdRef<'a>, DecodeError> {
    Ok(SpiffeIdRef::workload(from.counted()?)?)
}

pub(crate) fn write_workload(id: SpiffeIdRef<'_>, out: &mut Writer<'_>) -> Result<(), EncodeError> {
    if !id.has_path() {
        return Err(tidelock_spiffe::SpiffeIdError::NoWorkload.into());
    }
    out.counted(id.as_str().as_bytes())
}

pub(crate) fn read_domain<'a>(from: &mut Reader<'a>) -> Result<TrustDomainRef<'a>, DecodeError> {
    Ok(TrustDomainRef::parse(from.counted()?)?)
}

pub(crate) fn write_domain(
    domain: TrustDomainRef<'_>,
    out: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    out.counted(domain.as_str().as_bytes())
}

/// A certificate in DER. What is in it is not looked at here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Certificate<'a>(&'a [u8]);

impl<'a> Certificate<'a> {
    /// These bytes; none when there are no bytes, or more than any list holds.
    pub fn new(der: &'a [u8]) -> Option<Self> {
        (1..=MAX_LIST).contains(&der.len()).then_some(Self(der))
    }

    /// The bytes.
    pub const fn der(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Member<'a> for Certificate<'a> {
    type Kind = CertificateKind;
}

impl<'a> sealed::Codec<'a> for Certificate<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let der = from.counted()?;
        Self::new(der).ok_or(DecodeError::Value {
            field: "the length of a certificate",
            value: der.len() as u64,
        })
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.counted(self.0)
    }
}

/// Any of these may be at the other end.
pub type Peers<'a> = List<'a, Peer<'a>>;

/// Certificates, in an order that the message gives a meaning to.
pub type Certificates<'a> = List<'a, Certificate<'a>>;
