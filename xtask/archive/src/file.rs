// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a file of an archive is known by.

use serde::{Deserialize, Serialize};
use tidelock_model::Sha256;

/// A file of an archive, pinned by size and digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FileRef {
    /// The archive's name in `matrix.toml`; which host serves it is not the lock's business.
    pub archive: String,
    /// The path below the archive's base, such as `pool/main/l/linux/...deb`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256,
}

impl FileRef {
    /// The last part of the path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
