// SPDX-License-Identifier: GPL-2.0-only
//! What the C shim calls about what it holds for the core. The contract is
//! `kmod/include/tidelock_core.h`.

use alloc::sync::Arc;
use core::slice;

use tidelock_tls::{Identity, Pending, Trust};

use crate::{
    exports::length,
    facts::AskFacts,
    held::{give, take},
    serve::Errno,
    svid,
    tls::Tls,
    trust,
};

/// Makes a key, and encodes the frame that wants it certified.
///
/// # Safety
/// `ask` points to a live `struct tdl_ask_facts` whose texts are live, `own` to `own_len` bytes,
/// `out` to `capacity` bytes that are initialised and that nobody else uses meanwhile, `key` to
/// memory for a pointer. One caller at a time, on the private stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_sign(
    id: u64,
    ask: *const AskFacts<'_>,
    own: *const u8,
    own_len: usize,
    out: *mut u8,
    capacity: usize,
    key: *mut *mut Pending,
) -> isize {
    // SAFETY: the caller's promise.
    let ask = unsafe { &*ask };
    // SAFETY: the caller's promise.
    let own = unsafe { slice::from_raw_parts(own, own_len) };
    // SAFETY: the caller's promise.
    let out = unsafe { slice::from_raw_parts_mut(out, capacity) };
    length(svid::sign(id, ask, own, out).map(|(len, pending)| {
        // SAFETY: the caller's promise. What was there is overwritten unread.
        unsafe { key.write(give(pending)) };
        len
    }))
}

/// Puts a key and its SVID together.
///
/// # Safety
/// `key` came from [`tdl_core_sign`] and is used no more, whatever comes of this; `input` points to
/// `input_len` bytes, `identity` to memory for a pointer, `until` to memory for a number. One
/// caller at a time, on the private stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_certify(
    key: *mut Pending,
    input: *const u8,
    input_len: usize,
    identity: *mut *mut Identity,
    until: *mut u64,
) -> isize {
    // SAFETY: the caller's promise.
    let key = unsafe { take(key) };
    // SAFETY: the caller's promise.
    let input = unsafe { slice::from_raw_parts(input, input_len) };
    length(svid::certify(key, input).map(|made| {
        // SAFETY: the caller's promise. What was there is overwritten unread.
        unsafe { until.write(made.until()) };
        // SAFETY: as above.
        unsafe { identity.write(give(made)) };
        0
    }))
}

/// Makes a trust of another, by a frame, and encodes the answer.
///
/// # Safety
/// `old` is null or came from this function; it stays. `input` points to `input_len` bytes, `out` to
/// `capacity` bytes that are initialised and that nobody else uses meanwhile, `new` to memory for
/// a pointer. One caller at a time, on the private stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_trust(
    old: *const Arc<Trust>,
    input: *const u8,
    input_len: usize,
    out: *mut u8,
    capacity: usize,
    new: *mut *mut Arc<Trust>,
) -> isize {
    static NOBODY: Trust = Trust::nobody();
    // SAFETY: the caller's promise.
    let old = unsafe { old.as_ref() }.map_or(&NOBODY, |trust| trust);
    // SAFETY: the caller's promise.
    let input = unsafe { slice::from_raw_parts(input, input_len) };
    // SAFETY: the caller's promise.
    let out = unsafe { slice::from_raw_parts_mut(out, capacity) };
    length(trust::change(old, input, out).map(|(len, changed)| {
        let changed = changed.map_or(core::ptr::null_mut(), give);
        // SAFETY: the caller's promise. What was there is overwritten unread.
        unsafe { new.write(changed) };
        len
    }))
}

/// `enum tdl_held`: what a pointer is to.
const KEY: u32 = 1;
const IDENTITY: u32 = 2;
const TRUST: u32 = 3;
const TLS: u32 = 4;

/// Takes something back from the shim, and wipes what is secret in it.
///
/// # Safety
/// `what` came from the core as a `kind` and is used no more. One caller at a time, on the private
/// stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_free(kind: u32, what: *mut core::ffi::c_void) -> isize {
    match kind {
        // SAFETY: the caller's promise.
        KEY => drop(unsafe { take(what.cast::<Pending>()) }),
        // SAFETY: the caller's promise.
        IDENTITY => drop(unsafe { take(what.cast::<Identity>()) }),
        // SAFETY: the caller's promise.
        TRUST => drop(unsafe { take(what.cast::<Arc<Trust>>()) }),
        // SAFETY: the caller's promise.
        TLS => drop(unsafe { take(what.cast::<Tls>()) }),
        _ => return Errno::Invalid.to_negative(),
    }
    0
}
