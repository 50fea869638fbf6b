// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A cut-down view of Rust's library source for cargo's `build-std`.
//!
//! cargo resolves the whole standard library before it builds any of it, and would ask a
//! registry for two dozen crates that only std needs. The view is a workspace of its own
//! whose `sysroot` crate names just what a kernel can use; the source's own folders are mounted
//! beside it. So nothing is fetched for Rust's libraries, and nothing is written into the source
//! or the sysroot.

use std::path::Path;

use tidelock_host::files::{self, FileError};

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

/// Writes the view's own files into `path`; what is already right stays as it is. The parts of
/// the source are mounted beside them.
pub(crate) fn write(path: &Path) -> Result<(), FileError> {
    for (name, text) in FILES {
        let file = path.join(name);
        if files::read(&file).ok().as_deref() != Some(text.as_bytes()) {
            files::write_atomic(&file, text.as_bytes())?;
        }
    }
    Ok(())
}
