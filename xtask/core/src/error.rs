// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why there is no core.

use std::path::PathBuf;

use tidelock_host::{files::FileError, process::ProcessError};

use crate::inspect::InspectError;

/// The core could not be built, or must not be used.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The source of Rust's own libraries is missing.
    #[error(
        "the source of Rust's core library is needed and not installed. Either\n  \
         rustup component add rust-src --toolchain {version}\nor, where rustup cannot fetch it, \
         Debian's package of the same version:\n  apt-get install rust-src={version}*"
    )]
    NoRustSrc {
        /// The version of the toolchain, which the source must match.
        version: String,
    },
    /// The source is of another version than the compiler.
    #[error("{} is the source of Rust {found}, and the compiler is {wanted}", path.display())]
    RustSrcVersion {
        /// Its `library` folder.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// The folder is not a Rust source.
    #[error("{} holds no {missing}: it is not the library folder of a Rust source", path.display())]
    NotRustSrc {
        /// The folder.
        path: PathBuf,
        /// What was looked for in it.
        missing: &'static str,
    },
    /// The toolchain lacks a program.
    #[error("{} is missing: install the toolchain with rustup", path.display())]
    NoTool {
        /// Where it should be.
        path: PathBuf,
    },
    /// `rustc -vV` said something unexpected.
    #[error("cannot make out the compiler's {field} from `rustc -vV`")]
    UnknownCompiler {
        /// What is missing in it.
        field: &'static str,
    },
    /// A manifest or the lock file could not be read.
    #[error("{}: {message}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// cargo resolved a package that the lock file does not have.
    #[error(
        "cargo wants {package} for the core, which {} does not lock: is it patched in cargo's \
         configuration, or the lock file out of date?",
        lock.display()
    )]
    Unlocked {
        /// Name and version.
        package: String,
        /// The lock file.
        lock: PathBuf,
    },
    /// cargo says it has fetched a package, and keeps no file of it.
    #[error(
        "{package}.crate is not in cargo's cache of any registry: the core needs the packages \
         themselves, which a directory source has not"
    )]
    NoCrate {
        /// Name and version.
        package: String,
    },
    /// A package in cargo's cache is another one than was locked.
    #[error("{} is not the package that Cargo.lock names: remove it and try again", path.display())]
    ChangedCrate {
        /// The file.
        path: PathBuf,
    },
    /// A package is not laid out as cargo lays out packages.
    #[error("{package}.crate does not hold a folder {package} with a Cargo.toml")]
    OddCrate {
        /// Name and version.
        package: String,
    },
    /// The object breaks a rule of kernel code.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program failed.
    #[error("building the Rust core: {0}")]
    Process(#[from] ProcessError),
}
