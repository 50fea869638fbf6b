// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds the guest's `/init` (images/guest) as a static program.

use std::path::{Path, PathBuf};

use object::{
    Architecture, Endianness, FileKind, Object as _,
    elf::{FileHeader64, PT_INTERP},
    read::elf::{FileHeader as _, ProgramHeader as _},
};
use tidelock_host::{
    files::{self, FileError},
    process::{self, ProcessError},
};
use tidelock_model::Sha256;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const PROFILE: &str = "guest";
const PROGRAM: &str = "tidelock-guest";

/// A guest that is ready to go into an initramfs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// The program that becomes `/init`.
    pub path: PathBuf,
    /// Of its bytes.
    pub digest: Sha256,
}

/// The guest could not be built.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Cargo failed.
    #[error("building the guest: {0}")]
    Cargo(#[from] ProcessError),
    /// What cargo built could not be read.
    #[error("building the guest: {0}")]
    File(#[from] FileError),
    /// What cargo built cannot run in a machine that has no libraries.
    #[error("{}: {why}", path.display())]
    NotStatic {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Builds the guest of the repository at `root`, in `target_dir`.
///
/// Cargo knows when there is nothing to do; that takes a fraction of a second.
///
/// # Errors
/// When cargo fails, or its product is not a static program for the guest's architecture.
pub fn build(root: &Path, target_dir: &Path) -> Result<Guest, GuestError> {
    let mut command = process::cargo();
    command
        .args(["build", "--quiet", "--locked", "--package", PROGRAM])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        // Beats every other source of flags, so what the user has set cannot leak in. With a
        // --target it leaves build scripts and macros alone.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    process::run(command, Some(root))?;
    let path = target_dir.join(TARGET).join(PROFILE).join(PROGRAM);
    let bytes = files::read(&path)?;
    check_static(&bytes).map_err(|why| GuestError::NotStatic {
        path: path.clone(),
        why,
    })?;
    Ok(Guest {
        digest: Sha256::of(&bytes),
        path,
    })
}

/// Whether these bytes are a program that needs nothing but a kernel.
fn check_static(bytes: &[u8]) -> Result<(), &'static str> {
    if !matches!(FileKind::parse(bytes), Ok(FileKind::Elf64)) {
        return Err("not a 64-bit ELF file");
    }
    let file = object::File::parse(bytes).map_err(|_| "not a whole ELF file")?;
    if file.architecture() != Architecture::X86_64 {
        return Err("built for another architecture than the guest's");
    }
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(|_| "no ELF header")?;
    let endian = header.endian().map_err(|_| "no ELF header")?;
    let segments = header
        .program_headers(endian, bytes)
        .map_err(|_| "its program headers are cut off")?;
    if segments.is_empty() {
        return Err("an object file, not a program");
    }
    if segments
        .iter()
        .any(|segment| segment.p_type(endian) == PT_INTERP)
    {
        return Err("dynamically linked: it asks for an interpreter that the guest does not have");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_dynamic_test_program_is_refused_and_so_is_no_program() {
        let this = files::read(&std::env::current_exe().unwrap()).unwrap();
        assert!(
            check_static(&this)
                .unwrap_err()
                .starts_with("dynamically linked")
        );
        assert_eq!(check_static(b"#!/bin/sh\n"), Err("not a 64-bit ELF file"));
        assert_eq!(check_static(&this[..80]), Err("not a whole ELF file"));
    }
}
