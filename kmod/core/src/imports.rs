// SPDX-License-Identifier: GPL-2.0-only
//! What the C shim gives, each behind a safe function.

#[cfg(target_os = "none")]
use core::{alloc::Layout, ffi::c_void};

unsafe extern "C" {
    #[cfg(target_os = "none")]
    fn tdl_alloc(size: usize, align: usize) -> *mut c_void;
    #[cfg(target_os = "none")]
    fn tdl_free(pointer: *mut c_void, size: usize, align: usize);
    #[cfg(target_os = "none")]
    fn tdl_core_panicked(message: *const u8, len: usize);
    fn tdl_random(out: *mut u8, len: usize);
    safe fn tdl_unix_time() -> u64;
}

/// Memory for `layout`, or null.
#[cfg(target_os = "none")]
pub(crate) fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: the shim takes any size and any power of two as alignment, which a Layout's is,
    // and answers with null or with memory that is ours.
    unsafe { tdl_alloc(layout.size(), layout.align()) }.cast()
}

/// Gives memory back.
///
/// # Safety
/// `pointer` came from [`allocate`] with the same layout, and nobody uses it any more.
#[cfg(target_os = "none")]
pub(crate) unsafe fn free(pointer: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise is exactly what the shim asks for.
    unsafe { tdl_free(pointer.cast(), layout.size(), layout.align()) }
}

/// Ends the core for good: the shim leaves this stack and never comes back.
#[cfg(target_os = "none")]
pub(crate) fn panicked(message: &str) -> ! {
    // SAFETY: pointer and length are a live string's; the shim only reads it.
    unsafe { tdl_core_panicked(message.as_ptr(), message.len()) }
    // objtool is not told that the shim never returns, and would follow the code behind the
    // call into whatever function comes next.
    loop {
        core::hint::spin_loop();
    }
}

/// Fills `out` from the kernel's generator.
pub(crate) fn random(out: &mut [u8]) {
    // SAFETY: pointer and length are a live, exclusively borrowed slice's; the shim writes
    // no more than that.
    unsafe { tdl_random(out.as_mut_ptr(), out.len()) }
}

/// Seconds since 1970 by the wall clock.
pub(crate) fn unix_time() -> u64 {
    tdl_unix_time()
}
