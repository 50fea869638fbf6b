// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a download tells whoever draws it.

use crate::file::FileRef;

/// How a file came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It was in the store, and is undamaged.
    Cached,
    /// It was downloaded and verified.
    Downloaded,
}

/// Told about downloads as they go; called from several threads.
pub trait Progress: Send + Sync {
    /// So many files, and so many bytes, are wanted; may be called again for more.
    fn expect(&self, files: usize, bytes: u64) {
        let _ = (files, bytes);
    }

    /// So many bytes are there now; negative when an attempt was thrown away.
    fn advance(&self, bytes: i64) {
        let _ = bytes;
    }

    /// A file is not in the store, and its download begins.
    fn downloading(&self, file: &FileRef) {
        let _ = file;
    }

    /// A file is whole and verified.
    fn arrived(&self, file: &FileRef, how: Arrival) {
        let _ = (file, how);
    }

    /// An attempt failed for a reason that may pass, and is tried again.
    fn retrying(&self, url: &str, reason: &str) {
        let _ = (url, reason);
    }
}

/// Draws nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl Progress for NoProgress {}
