// SPDX-License-Identifier: GPL-2.0-only
use tidelock_wire::{Answer, Frame, MAX_FRAME, Request};

use crate::{
    order::Order,
    serve::{self, Errno},
};

mod answers;
mod exports;
mod layout;
mod orders;
mod questions;
mod shakes;
mod svids;
mod text;
mod trusts;

/// What the shim would give, from the host's own sources.
mod shim {
    #[unsafe(no_mangle)]
    extern "C" fn tdl_random(out: *mut u8, len: usize) {
        // SAFETY: the core passes a live slice's pointer and length.
        let out = unsafe { core::slice::from_raw_parts_mut(out, len) };
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), out).unwrap();
    }

    #[unsafe(no_mangle)]
    extern "C" fn tdl_unix_time() -> u64 {
        std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
    }
}

fn request(message: &Request<'_>) -> Vec<u8> {
    let message = *message;
    let mut buffer = [0; MAX_FRAME];
    let len = Frame { id: 7, message }.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// The frame that `write` writes, and that it is what it says.
fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) -> Vec<u8> {
    let mut out = [0; MAX_FRAME];
    let len = write(&mut out).unwrap();
    out[..len].to_vec()
}

/// The answer to a request that the core carries out by itself.
fn answer(message: &Request<'_>) -> Frame<Answer<'static>> {
    let mut order = Order::status(99);
    let bytes = written(|out| serve::frame(&request(message), out, &mut order));
    assert_eq!(order, Order::NONE, "nothing is left for the shim");
    Frame::decode(bytes.leak()).unwrap()
}
