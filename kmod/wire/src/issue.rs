// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! SVIDs: how the kernel asks for one, and what it is given.

use crate::{
    Ask, Certificates, DecodeError, EncodeError, Verdict,
    codec::{Reader, Rule, Writer},
    list::Limits,
};

/// The longest request for a certificate, in bytes: room for the longest SPIFFE ID.
pub const MAX_CSR: usize = 2560;

/// A key wants to be certified. Answered by [`crate::Request::Issued`] with the same frame id,
/// which is the number of the SVID and never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sign<'a> {
    /// The question whose verdict said that the process has an identity. Whoever signs decides on
    /// it anew: the request proves that the key is there, and says nothing of who may have it.
    pub ask: Ask<'a>,
    /// The request (PKCS #10, RFC 2986), in DER, [`MAX_CSR`] bytes at most.
    pub csr: &'a [u8],
}

const CSR: &str = "the length of a request for a certificate";

impl<'a> Sign<'a> {
    pub(crate) fn len(&self) -> u32 {
        // One that is far too long is refused when it is written.
        self.ask.len() + 2 + u32::try_from(self.csr.len()).unwrap_or(u32::from(u16::MAX))
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.ask.write(out)?;
        if !(1..=MAX_CSR).contains(&self.csr.len()) {
            return Err(EncodeError::Value {
                field: CSR,
                value: self.csr.len() as u64,
            });
        }
        out.counted(self.csr)
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let ask = Ask::read(from)?;
        let csr = from.counted()?;
        if !(1..=MAX_CSR).contains(&csr.len()) {
            return Err(DecodeError::Value {
                field: CSR,
                value: csr.len() as u64,
            });
        }
        Ok(Self { ask, csr })
    }
}

const CHAIN: Limits = Limits {
    field: "the number of certificates of an SVID",
    count: 1..=4,
};

const REASON: Rule = Rule {
    field: "the reason",
    range: 0..=Verdict::KERNEL_REASONS - 1,
};

/// The answer to a [`Sign`]. One for a number that nobody waits for has no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Issued<'a> {
    /// The X.509-SVID, and behind it what leads to an authority of the trust bundle: four
    /// certificates at most.
    Svid(Certificates<'a>),
    /// There is none, and why: a number as in [`Verdict::reason`].
    Refused(u32),
}

const SVID: u8 = 1;
const REFUSED: u8 = 2;

impl<'a> Issued<'a> {
    pub(crate) fn len(&self) -> u32 {
        1 + match self {
            Self::Svid(chain) => chain.len(),
            Self::Refused(_) => 4,
        }
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Svid(chain) => {
                out.u8(SVID)?;
                chain.write(&CHAIN, out)
            }
            Self::Refused(reason) => {
                out.u8(REFUSED)?;
                REASON.write(*reason, out)
            }
        }
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match from.u8()? {
            SVID => Certificates::read(&CHAIN, from).map(Self::Svid),
            REFUSED => REASON.read(from).map(Self::Refused),
            number => Err(DecodeError::Value {
                field: "what became of a request for an SVID",
                value: number.into(),
            }),
        }
    }
}
