// SPDX-License-Identifier: GPL-2.0-only
//! What the C shim calls. The contract is `kmod/include/tidelock_core.h`.

use core::slice;

use tidelock_wire::StackUse;

use crate::{
    facts::{AskFacts, HelloFacts, StatusFacts},
    order::Order,
    serve::{self, Errno},
};

/// Encodes the hello frame.
///
/// # Safety
/// `hello` points to a live `struct tdl_hello`, `out` to `capacity` bytes that are
/// initialised and that nobody else uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_hello(
    hello: *const HelloFacts,
    out: *mut u8,
    capacity: usize,
) -> isize {
    // SAFETY: the caller's promise.
    let hello = unsafe { &*hello };
    // SAFETY: the caller's promise.
    let out = unsafe { slice::from_raw_parts_mut(out, capacity) };
    length(serve::hello(hello, out))
}

/// Says whether [`tdl_core_frame`] would take this frame.
///
/// # Safety
/// `input` points to `input_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_check(input: *const u8, input_len: usize) -> isize {
    // SAFETY: the caller's promise.
    let input = unsafe { slice::from_raw_parts(input, input_len) };
    length(serve::request(input).map(|_| 0))
}

/// Takes one frame from user space and encodes the answer.
///
/// # Safety
/// `input` points to `input_len` bytes, `out` to `capacity` bytes that are initialised and
/// that nobody else uses meanwhile, `order` to a `struct tdl_order`; none of them overlap. One
/// caller at a time, on the private stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_frame(
    input: *const u8,
    input_len: usize,
    out: *mut u8,
    capacity: usize,
    order: *mut Order,
) -> isize {
    // SAFETY: the caller's promise.
    let input = unsafe { slice::from_raw_parts(input, input_len) };
    // SAFETY: the caller's promise.
    let out = unsafe { slice::from_raw_parts_mut(out, capacity) };
    let mut told = Order::NONE;
    let result = serve::frame(input, out, &mut told);
    // SAFETY: the caller's promise. What was there is overwritten unread: C need not have made
    // it valid, and an Order drops nothing.
    unsafe { order.write(told) };
    length(result)
}

/// Encodes the question for a verdict.
///
/// # Safety
/// `ask` points to a live `struct tdl_ask_facts` whose texts are live, `out` to `capacity` bytes
/// that are initialised and that nobody else uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_ask(
    id: u64,
    ask: *const AskFacts<'_>,
    out: *mut u8,
    capacity: usize,
) -> isize {
    // SAFETY: the caller's promise.
    let ask = unsafe { &*ask };
    // SAFETY: the caller's promise.
    let out = unsafe { slice::from_raw_parts_mut(out, capacity) };
    length(serve::ask(id, ask, out))
}

/// Encodes the answer to an order for the status or the settings.
///
/// # Safety
/// `status` points to a live `struct tdl_status`, `out` to `capacity` bytes that are initialised
/// and that nobody else uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_status(
    id: u64,
    status: *const StatusFacts,
    out: *mut u8,
    capacity: usize,
) -> isize {
    // SAFETY: the caller's promise.
    let status = unsafe { &*status };
    // SAFETY: the caller's promise.
    let out = unsafe { slice::from_raw_parts_mut(out, capacity) };
    length(serve::status(id, status, out))
}

/// Writes the measured stack use into a self-test report.
///
/// # Safety
/// `frame` points to `len` initialised bytes that nobody else uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdl_core_stamp(
    frame: *mut u8,
    len: usize,
    stack_size: u32,
    stack_high_water: u32,
) -> isize {
    // SAFETY: the caller's promise.
    let frame = unsafe { slice::from_raw_parts_mut(frame, len) };
    let stack = StackUse {
        size: stack_size,
        high_water: stack_high_water,
    };
    length(serve::stamp(frame, stack).map(|()| 0))
}

pub(crate) fn length(result: Result<usize, Errno>) -> isize {
    match result {
        // A frame is far shorter than the largest isize.
        Ok(len) => len.cast_signed(),
        Err(errno) => errno.to_negative(),
    }
}
