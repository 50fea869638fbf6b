// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Boots a kernel in QEMU, runs the guest's tests, reads its verdicts.

pub mod initramfs;
pub mod kernel;
