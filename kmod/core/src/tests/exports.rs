// SPDX-License-Identifier: GPL-2.0-only
//! The way in from C.

use core::mem::MaybeUninit;

use tidelock_wire::{Counters, MAX_FRAME, Request};

use super::{questions, request, written};
use crate::{
    exports::{tdl_core_ask, tdl_core_check, tdl_core_frame, tdl_core_status},
    facts::StatusFacts,
    order::{Kind, Order},
    serve,
};

/// What `tdl_core_frame` returns and orders, into an order that C has not initialised.
fn frame(input: &[u8]) -> (isize, Order) {
    let mut out = [0; MAX_FRAME];
    let mut order = MaybeUninit::<Order>::uninit();
    // SAFETY: pointers and lengths are of live slices that nobody else uses, and of memory for
    // an order.
    let len = unsafe {
        tdl_core_frame(
            input.as_ptr(),
            input.len(),
            out.as_mut_ptr(),
            out.len(),
            order.as_mut_ptr(),
        )
    };
    // SAFETY: it is always written, which is tested here.
    (len, unsafe { order.assume_init() })
}

fn check(input: &[u8]) -> isize {
    // SAFETY: pointer and length are of a live slice.
    unsafe { tdl_core_check(input.as_ptr(), input.len()) }
}

#[test]
fn an_order_is_written_whatever_comes() {
    let (len, order) = frame(&request(&Request::Status));
    assert_eq!((len, order.kind, order.id), (0, Kind::Status, 7));
    assert_eq!(check(&request(&Request::Status)), 0);
    let (len, order) = frame(&request(&Request::Fault)[1..]);
    assert_eq!((len, order), (-71, Order::NONE));
    assert_eq!(check(b"no frame"), -71);
    assert_eq!(check(&vec![0; MAX_FRAME + 1]), -90);
}

#[test]
fn a_question_and_a_status_come_out_as_they_are_made() {
    let mut out = [0; MAX_FRAME];
    let facts = questions::facts(Some(b"/bin/curl"), None);
    // SAFETY: facts and texts are live, pointer and length are of a live slice.
    let len = unsafe { tdl_core_ask(77, &raw const facts, out.as_mut_ptr(), out.len()) };
    let expected = written(|out| serve::ask(77, &facts, out));
    assert_eq!(out[..len.cast_unsigned()], expected);
    let facts = StatusFacts {
        generation: 5,
        counters: Counters::default(),
        mode: 1,
        deadline_ms: 10,
        waiting: 0,
        kept: 0,
    };
    // SAFETY: facts are live, pointer and length are of a live slice.
    let len = unsafe { tdl_core_status(77, &raw const facts, out.as_mut_ptr(), out.len()) };
    let expected = written(|out| serve::status(77, &facts, out));
    assert_eq!(out[..len.cast_unsigned()], expected);
    // SAFETY: as above; the slice is shorter.
    let len = unsafe { tdl_core_status(77, &raw const facts, out.as_mut_ptr(), 9) };
    assert_eq!(len, -28);
}
