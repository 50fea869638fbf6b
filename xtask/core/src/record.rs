// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A core that has been built, and what is known about it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tidelock_model::Sha256;

use crate::{RustSrcOrigin, Variant, inspect::Inspection};

/// Whether a core was built just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// It lay in the cache.
    Cached,
    /// It was built.
    Built,
}

/// A core that may be linked into a module.
#[derive(Clone, PartialEq, Debug)]
pub struct CoreArtifact {
    /// The relocatable object, with debug information; kbuild takes it as `core.o_shipped`.
    pub object: PathBuf,
    /// What is known about it.
    pub record: CoreRecord,
    /// Whether it was built just now.
    pub freshness: Freshness,
}

/// What is kept beside the object in the cache.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CoreRecord {
    /// The content key of everything it depends on.
    pub key: Sha256,
    /// The digest of the object: what a module's own key depends on.
    pub sha256: Sha256,
    /// The object's size in bytes, debug information included.
    pub bytes: u64,
    /// Which core it is.
    pub variant: Variant,
    /// The compiler's version.
    pub rust_version: String,
    /// Where the source of Rust's libraries came from.
    pub rust_src: RustSrcOrigin,
    /// How long it took to build.
    pub duration_ms: u64,
    /// What the inspection found.
    pub inspection: Inspection,
}
