// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Boots a kernel in QEMU, runs the guest's tests, reads its verdicts.

pub mod guest;
pub mod initramfs;
pub mod kernel;
pub mod kmsg;
pub mod ktap;
pub mod scan;
pub mod symbolise;
