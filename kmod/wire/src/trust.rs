// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Who is trusted, and who is no longer.

use tidelock_spiffe::{SpiffeIdRef, TrustDomainRef};

use crate::{
    Certificates, DecodeError, EncodeError,
    codec::{Reader, Writer},
    list::{Limits, read_domain, read_workload, write_domain, write_workload},
};

/// The most authorities of one trust domain.
pub const MAX_AUTHORITIES: u8 = 16;

const AUTHORITIES: Limits = Limits {
    field: "the number of authorities",
    count: 0..=MAX_AUTHORITIES,
};

/// The trust bundle of one domain, whole: it takes the place of the one before. Answered by
/// [`crate::Answer::Done`] when it is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bundle<'a> {
    /// The domain that its authorities speak for; they speak for no other.
    pub domain: TrustDomainRef<'a>,
    /// Their certificates. None: the domain is not trusted any more, and connections with it end.
    pub authorities: Certificates<'a>,
}

impl<'a> Bundle<'a> {
    pub(crate) fn len(&self) -> u32 {
        text_len(self.domain.as_str()) + self.authorities.len()
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        write_domain(self.domain, out)?;
        self.authorities.write(&AUTHORITIES, out)
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            domain: read_domain(from)?,
            authorities: Certificates::read(&AUTHORITIES, from)?,
        })
    }
}

/// What is void from now on. Connections that rest on it end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revoked<'a> {
    /// Every SVID with this SPIFFE ID.
    Workload(SpiffeIdRef<'a>),
    /// Every SVID that this authority has signed, root or intermediate: the SHA-256 of its
    /// `SubjectPublicKeyInfo` in DER.
    Authority([u8; 32]),
}

/// Revokes, or takes that back. Answered by [`crate::Answer::Done`] when it is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation<'a> {
    /// What is void.
    pub what: Revoked<'a>,
    /// Until when, in seconds since 1970: once every SVID that it is about has expired it need not
    /// be remembered. 0: it is void no longer.
    pub until: u64,
}

const WORKLOAD: u8 = 1;
const AUTHORITY: u8 = 2;

impl<'a> Revocation<'a> {
    pub(crate) fn len(&self) -> u32 {
        8 + 1
            + match self.what {
                Revoked::Workload(id) => text_len(id.as_str()),
                Revoked::Authority(_) => 32,
            }
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u64(self.until)?;
        match self.what {
            Revoked::Workload(id) => {
                out.u8(WORKLOAD)?;
                write_workload(id, out)
            }
            Revoked::Authority(key) => {
                out.u8(AUTHORITY)?;
                out.bytes(&key)
            }
        }
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            until: from.u64()?,
            what: match from.u8()? {
                WORKLOAD => Revoked::Workload(read_workload(from)?),
                AUTHORITY => Revoked::Authority(from.array()?),
                number => {
                    return Err(DecodeError::Value {
                        field: "the kind of a revocation",
                        value: number.into(),
                    });
                }
            },
        })
    }
}

/// Of a text with its length: none is longer than a SPIFFE ID.
pub(crate) fn text_len(text: &str) -> u32 {
    2 + u32::try_from(text.len()).unwrap_or(u32::from(u16::MAX))
}
