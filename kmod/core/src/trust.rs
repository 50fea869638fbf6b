// SPDX-License-Identifier: GPL-2.0-only
//! Who is trusted, from frame to frame.

use alloc::sync::Arc;

use tidelock_tls::{TlsError, Trust, Void};
use tidelock_wire::{Answer, Certificate, Frame, Refusal, Request, Revoked};

use crate::{
    imports,
    serve::{Errno, request, send},
};

/// What the frame in `input` makes of `trust`, and its answer. None where that is a refusal:
/// everything stays as it is.
pub(crate) fn change(
    trust: &Trust,
    input: &[u8],
    out: &mut [u8],
) -> Result<(usize, Option<Arc<Trust>>), Errno> {
    let Frame { id, message } = request(input)?;
    let changed = match message {
        Request::Bundle(bundle) => trust.with_bundle(
            bundle.domain.into(),
            bundle.authorities.iter().map(Certificate::der),
        ),
        Request::Revoke(revocation) => trust.with_void(
            &void(&revocation.what),
            revocation.until,
            imports::unix_time(),
        ),
        _ => return Err(Errno::Invalid),
    };
    let answer = match &changed {
        Ok(_) => Answer::Done,
        Err(TlsError::Limit(_)) => Answer::Refused(Refusal::Limit),
        Err(_) => Answer::Refused(Refusal::Certificate),
    };
    let len = send(id, answer, out)?;
    Ok((len, changed.ok().map(Arc::new)))
}

fn void(what: &Revoked<'_>) -> Void {
    match what {
        Revoked::Workload(id) => Void::Workload((*id).into()),
        Revoked::Authority(key) => Void::Authority(*key),
    }
}
