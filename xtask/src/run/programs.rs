// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs of this workspace that run in the guest beside the distribution's: dynamic ones, with
//! the userland's libraries.

use std::path::Path;

use anyhow::{Context as _, Result};
use tidelock_host::{files, process};
use tidelock_model::{KeyBuilder, Sha256, Tier};
use tidelock_vm::initramfs::Entry;

/// The packages whose programs, called as they are, go into every guest.
pub(crate) const PACKAGES: &[&str] = &["tidelockd", "tidelockctl"];

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

/// How the programs are compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    /// As the workspace's tests are, so that who runs both compiles once.
    Tests,
    /// As what is shipped: it takes minutes, and a guest that is emulated runs it in half the time.
    Shipped,
}

impl Profile {
    /// What a run of this tier is worth, when it is `complete` and when it is `thorough`: where only
    /// a few kernels have the tests of the daemon, they take less time than its compilation.
    pub(crate) fn of(complete: bool, thorough: bool, tier: Tier) -> Self {
        if complete && thorough && tier != Tier::Quick {
            Self::Shipped
        } else {
            Self::Tests
        }
    }

    /// For cargo, and the folder below `target`.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Tests => ("dev", "debug"),
            Self::Shipped => ("release", "release"),
        }
    }
}

/// Builds the programs of `packages` of the workspace at `root`, in `target`.
///
/// With the features of the workspace's tests; without what debuggers want, which is most of such
/// a program, and would be in the memory of every guest. Cargo knows when there is nothing to do.
pub(crate) fn build(
    root: &Path,
    target: &Path,
    packages: &[&str],
    profile: Profile,
) -> Result<Programs> {
    let (profile, folder) = profile.names();
    let mut key = KeyBuilder::new("programs", 2);
    let mut entries = Vec::new();
    if !packages.is_empty() {
        let mut cargo = process::cargo();
        cargo.args(["build", "--quiet", "--locked", "--workspace"]);
        cargo.args(["--profile", profile]);
        for package in packages {
            cargo.args(["--bin", package]);
        }
        cargo.arg("--target-dir").arg(target);
        let what = || format!("building {}", packages.join(", "));
        process::run(cargo, Some(root)).with_context(what)?;
    }
    for package in packages {
        let source = target.join("programs").join(folder).join(package);
        let bytes = stripped(&target.join(folder).join(package), &source)?;
        key = key.bytes(package, &bytes);
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

/// Writes `program` without what debuggers want to `to`, whole or not at all; returns it.
fn stripped(program: &Path, to: &Path) -> Result<Vec<u8>> {
    let scratch = to.with_extension("new");
    files::make_dir(to.parent().unwrap_or(Path::new(".")))?;
    let mut strip = process::command("strip");
    strip.arg("--strip-debug").arg("-o").arg(&scratch);
    strip.arg(program);
    let what = || format!("stripping {}", program.display());
    process::run(strip, None).with_context(what)?;
    let bytes = files::read(&scratch)?;
    files::write_atomic(to, &bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_worth_its_compilation_to_many_kernels() {
        assert_eq!(Profile::of(true, true, Tier::Full), Profile::Shipped);
        assert_eq!(Profile::of(true, true, Tier::Standard), Profile::Shipped);
        for (complete, thorough, tier) in [
            (false, true, Tier::Full),
            (true, false, Tier::Full),
            (true, true, Tier::Quick),
        ] {
            assert_eq!(Profile::of(complete, thorough, tier), Profile::Tests);
        }
    }

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
            build(dir.path(), &target, &["hello"], Profile::Tests)
        };
        let one = made("one").unwrap();
        assert_eq!(one.entries[0].name, "opt/tidelock/hello");
        assert!(one.entries[0].source.is_file());
        assert_eq!(
            one,
            build(dir.path(), &target, &["hello"], Profile::Tests).unwrap()
        );
        let two = made("two, and longer than that").unwrap();
        assert_ne!(one.digest, two.digest);
        let none = build(dir.path(), &target, &[], Profile::Tests).unwrap();
        assert!(none.entries.is_empty() && none.digest != one.digest);
        let error = build(dir.path(), &target, &["other"], Profile::Tests).unwrap_err();
        assert_eq!(error.to_string(), "building other");
    }
}
