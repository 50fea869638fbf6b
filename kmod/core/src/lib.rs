// SPDX-License-Identifier: GPL-2.0-only
//! The staticlib linked into tidelock.ko: allocator, panic policy, FFI.
//!
//! The contract with the C shim is `kmod/include/tidelock_core.h`. This crate holds no logic:
//! frames are `tidelock_wire`'s, TLS is `tidelock_tls`'s; here they meet C.
//!
//! For the kernel it is built without std, by `xtask/core`. On a host it is built with std,
//! so that it can be checked, linted and tested there; allocator and panic handler are then
//! std's own.
#![cfg_attr(target_os = "none", no_std)]
#![expect(
    unsafe_code,
    reason = "the FFI boundary; each block has its proof, logic lives elsewhere"
)]

extern crate alloc;

#[cfg(target_os = "none")]
mod allocator;
#[expect(
    unreachable_pub,
    reason = "reached from C, by name; rustc sees nobody in Rust that could"
)]
mod exports;
#[expect(
    unreachable_pub,
    reason = "reached from C, by name; rustc sees nobody in Rust that could"
)]
mod exports_held;
#[expect(
    unreachable_pub,
    reason = "reached from C, by name; rustc sees nobody in Rust that could"
)]
mod exports_tls;
mod facts;
mod held;
mod imports;
mod order;
#[cfg(target_os = "none")]
mod panic;
mod platform;
mod self_test;
mod serve;
mod svid;
#[cfg(any(target_os = "none", test))]
mod text;
mod tls;
mod trust;

#[cfg(test)]
mod tests;
