// SPDX-License-Identifier: GPL-2.0-only
//! A key, from its request to its certificate.

use tidelock_tls::{Identity, Pending, TlsError};
use tidelock_wire::{Answer, Certificate, Frame, Issued, Request, Sign, Terms};

use crate::{
    facts::AskFacts,
    platform::Kernel,
    serve::{Errno, request, send},
};

/// Makes a key for who `own`, a part of the terms of a verdict, says the process is, and writes the
/// frame that wants it certified.
pub(crate) fn sign(
    id: u64,
    ask: &AskFacts<'_>,
    own: &[u8],
    out: &mut [u8],
) -> Result<(usize, Pending), Errno> {
    let ask = ask.read().ok_or(Errno::Invalid)?;
    let (_, own) = Terms::decode_own(own).map_err(|_| Errno::Invalid)?;
    let key = Pending::new::<Kernel>(own.into()).map_err(|error| errno(&error))?;
    let csr = key.request().map_err(|error| errno(&error))?;
    let sign = Sign { ask, csr: &csr };
    let len = send(id, Answer::Sign(sign), out)?;
    Ok((len, key))
}

/// Puts the key and the SVID in `input` together. It is gone when that is not for it.
pub(crate) fn certify(key: Pending, input: &[u8]) -> Result<Identity, Errno> {
    let Frame { message, .. } = request(input)?;
    let Request::Issued(Issued::Svid(chain)) = message else {
        return Err(Errno::Invalid);
    };
    key.certified(chain.iter().map(Certificate::der))
        .map_err(|error| errno(&error))
}

fn errno(error: &TlsError) -> Errno {
    match error {
        TlsError::Certificate(_) | TlsError::SpiffeId(_) | TlsError::Session(_) => {
            Errno::BadMessage
        }
        TlsError::Entropy(_) | TlsError::Limit(_) | TlsError::NoRecords(_) | TlsError::NotOpen => {
            Errno::Invalid
        }
    }
}
