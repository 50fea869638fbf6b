// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A cut-down view of Rust's library source for cargo's `build-std`.
//!
//! cargo resolves the whole standard library before it builds any of it, and would ask a
//! registry for two dozen crates that only std needs. The view is a workspace of its own
//! whose `sysroot` crate names just what a kernel can use; the rest are links. So nothing is
//! fetched for Rust's libraries, and nothing is written into the source or the sysroot.

use std::{fs, path::Path};

use tidelock_host::files::{self, FileError};

use crate::rust_src::{PARTS, RustSrc};

const WORKSPACE: &str = r#"[workspace]
resolver = "1"
members = ["sysroot"]
exclude = ["stdarch"]
"#;

const SYSROOT: &str = r#"[package]
name = "sysroot"
version = "0.0.0"
edition = "2024"

[dependencies]
alloc = { path = "../alloc" }
compiler_builtins = { path = "../compiler-builtins/compiler-builtins" }
core = { path = "../core" }

[features]
compiler-builtins-mem = ["alloc/compiler-builtins-mem"]
"#;

/// The files and their text, for the content key.
pub(crate) const FILES: [(&str, &str); 3] = [
    ("Cargo.toml", WORKSPACE),
    ("sysroot/Cargo.toml", SYSROOT),
    ("sysroot/src/lib.rs", "#![no_std]\n"),
];

/// Makes `path` the view of `source`; what is already right stays as it is.
pub(crate) fn lay(path: &Path, source: &RustSrc) -> Result<(), FileError> {
    for (name, text) in FILES {
        let file = path.join(name);
        if files::read(&file).ok().as_deref() != Some(text.as_bytes()) {
            files::write_atomic(&file, text.as_bytes())?;
        }
    }
    for part in PARTS {
        let (link, target) = (path.join(part), source.library().join(part));
        if fs::read_link(&link).ok().as_ref() == Some(&target) {
            continue;
        }
        files::symlink_atomic(&target, &link)?;
    }
    Ok(())
}
