// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs of this workspace that run in the guest beside the distribution's: dynamic ones, with
//! the userland's libraries.

use std::path::Path;

use anyhow::{Context as _, Result};
use tidelock_host::{files, process};
use tidelock_model::{KeyBuilder, Sha256};
use tidelock_vm::initramfs::Entry;

/// The packages whose programs, called as they are, go into every guest.
pub(crate) const PACKAGES: &[&str] = &[];

/// Where they are in the guest, without the leading `/`.
const PLACE: &str = "opt/tidelock";

/// Programs for the guest's root, and the digest of them all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Programs {
    /// As the initramfs takes them.
    pub(crate) entries: Vec<Entry>,
    /// Of their names and bytes.
    pub(crate) digest: Sha256,
}

/// Builds the programs of `packages` of the workspace at `root`, in `target`.
///
/// Cargo knows when there is nothing to do.
pub(crate) fn build(root: &Path, target: &Path, packages: &[&str]) -> Result<Programs> {
    let mut key = KeyBuilder::new("programs", 1);
    let mut entries = Vec::new();
    for package in packages {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut cargo = process::command(program);
        cargo.args(["build", "--quiet", "--locked", "--release"]);
        cargo.args(["--package", package, "--bin", package, "--target-dir"]);
        cargo.arg(target);
        process::run(cargo, Some(root)).with_context(|| format!("building {package}"))?;
        let source = target.join("release").join(package);
        key = key.bytes(package, &files::read(&source)?);
        entries.push(Entry {
            name: format!("{PLACE}/{package}"),
            source,
        });
    }
    Ok(Programs {
        entries,
        digest: key.finish(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_built_named_and_keyed_by_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            files::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        };
        put(
            "Cargo.toml",
            "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
        );
        put(
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"hello\"\nversion = \"0.1.0\"\n",
        );
        let target = dir.path().join("target");
        let made = |text: &str| {
            put(
                "src/main.rs",
                &format!("fn main() {{ println!(\"{text}\"); }}"),
            );
            build(dir.path(), &target, &["hello"])
        };
        let one = made("one").unwrap();
        assert_eq!(one.entries[0].name, "opt/tidelock/hello");
        assert!(one.entries[0].source.is_file());
        assert_eq!(one, build(dir.path(), &target, &["hello"]).unwrap());
        let two = made("two, and longer than that").unwrap();
        assert_ne!(one.digest, two.digest);
        let none = build(dir.path(), &target, &[]).unwrap();
        assert!(none.entries.is_empty() && none.digest != one.digest);
        let error = build(dir.path(), &target, &["other"]).unwrap_err();
        assert_eq!(error.to_string(), "building other");
    }
}
