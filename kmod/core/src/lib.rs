// SPDX-License-Identifier: GPL-2.0-only
//! The staticlib linked into tidelock.ko: allocator, panic policy, FFI.
#![no_std]
