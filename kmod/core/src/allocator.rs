// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's memory as Rust's global allocator.

use core::alloc::{GlobalAlloc, Layout};

use crate::imports;

struct Kernel;

#[global_allocator]
static KERNEL: Kernel = Kernel;

// SAFETY: the shim's allocator answers with null or with memory of at least the size and
// alignment asked for, distinct from all other live memory, and never unwinds. `realloc` and
// `alloc_zeroed` are the trait's own, made of these two.
unsafe impl GlobalAlloc for Kernel {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        imports::allocate(layout)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: GlobalAlloc's contract: the pointer came from `alloc` with this layout.
        unsafe { imports::free(pointer, layout) }
    }
}
