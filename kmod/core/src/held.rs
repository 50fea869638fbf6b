// SPDX-License-Identifier: GPL-2.0-only
//! What the shim holds for the core, which keeps nothing itself: by pointers that it never looks
//! behind, each given to it once and taken back once.

use alloc::boxed::Box;

/// To be held by C.
pub(crate) fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Back from C.
///
/// # Safety
/// `pointer` came from [`give`] with the same type, was not taken back before, and nobody uses it
/// any more.
pub(crate) unsafe fn take<T>(pointer: *mut T) -> T {
    // SAFETY: the caller's promise.
    *unsafe { Box::from_raw(pointer) }
}
