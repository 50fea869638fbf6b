// SPDX-License-Identifier: GPL-2.0-only
//! What the C shim calls to shake hands. The contract is `kmod/include/tidelock_core.h`.

use alloc::sync::Arc;
use core::slice;

use tidelock_tls::{Identity, Trust};

use crate::{
    exports::length,
    held::{give, take},
    serve::Errno,
    tls::{RecordsFacts, Tls},
};

/// Begins a handshake, at this end of a connection.
///
/// # Safety
/// `identity` and `trust`, which may be null, came from the core and stay with the shim; `terms` points to `terms_len`
/// bytes, `tls` to memory for a pointer. One caller at a time, on the private stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_shake(
    direction: u32,
    identity: *const Identity,
    trust: *const Arc<Trust>,
    terms: *const u8,
    terms_len: usize,
    tls: *mut *mut Tls,
) -> isize {
    // SAFETY: the caller's promise.
    let identity = unsafe { &*identity };
    // SAFETY: the caller's promise.
    let trust = unsafe { trust.as_ref() };
    let trust = trust.map_or_else(|| Arc::new(Trust::nobody()), Arc::clone);
    // SAFETY: the caller's promise.
    let terms = unsafe { slice::from_raw_parts(terms, terms_len) };
    length(Tls::new(direction, identity, trust, terms).map(|made| {
        // SAFETY: the caller's promise. What was there is overwritten unread.
        unsafe { tls.write(give(made)) };
        0
    }))
}

/// Takes bytes from the peer; 1 when the handshake is done, 0 when it goes on.
///
/// # Safety
/// `tls` came from [`tdl_core_shake`] and is nobody else's meanwhile, `input` points to `input_len`
/// bytes. One caller at a time, on the private stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_receive(
    tls: *mut Tls,
    input: *const u8,
    input_len: usize,
) -> isize {
    // SAFETY: the caller's promise.
    let tls = unsafe { &mut *tls };
    // SAFETY: the caller's promise.
    let input = unsafe { slice::from_raw_parts(input, input_len) };
    length(tls.receive(input).map(usize::from))
}

/// Copies what is to be sent next: how much, 0 when there is nothing.
///
/// # Safety
/// `tls` as for [`tdl_core_receive`]; `out` points to `capacity` bytes that are initialised and that
/// nobody else uses meanwhile. One caller at a time, on the private stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_output(tls: *mut Tls, out: *mut u8, capacity: usize) -> isize {
    // SAFETY: the caller's promise.
    let tls = unsafe { &mut *tls };
    // SAFETY: the caller's promise.
    let out = unsafe { slice::from_raw_parts_mut(out, capacity) };
    length(Ok::<_, Errno>(tls.output(out)))
}

/// Ends the session, and fills in what protects the records from here on.
///
/// # Safety
/// `tls` came from [`tdl_core_shake`] and is used no more, whatever comes of this; `records` points
/// to a `struct tdl_records` that is initialised and nobody else's. One caller at a time, on the
/// private stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_records(tls: *mut Tls, records: *mut RecordsFacts) -> isize {
    // SAFETY: the caller's promise.
    let tls = unsafe { take(tls) };
    // SAFETY: the caller's promise.
    let records = unsafe { &mut *records };
    length(tls.into_records(records).map(|()| 0))
}
