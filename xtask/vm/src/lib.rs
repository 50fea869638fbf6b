// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Boots a kernel in QEMU, runs the guest's tests, reads its verdicts.

pub mod bench;
pub mod boot;
mod clock;
pub mod engine;
pub mod guest;
pub mod initramfs;
pub mod judge;
pub mod kernel;
pub mod kmsg;
pub mod ktap;
pub mod machine;
pub mod run;
pub mod scan;
mod shared;
pub mod shell;
pub mod spec;
pub mod state;
pub mod symbolise;
pub mod watch;
