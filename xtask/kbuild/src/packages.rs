// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Locked packages, and their verified unpacking.

use std::path::{Path, PathBuf};

use tidelock_archive::deb;
use tidelock_host::files;
use tidelock_model::{KeyBuilder, Sha256};

use crate::error::KbuildError;

/// A package of the lock, in the content store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Package {
    /// Debian's name.
    pub name: String,
    /// The file in the content store.
    pub path: PathBuf,
    /// The digest in the lock.
    pub sha256: Sha256,
}

/// Unpacks what `keep` says of `package` into `dest`, if it is the one that was locked.
///
/// The store was verified when it was filled; it is a folder that others can write to since.
pub(crate) fn unpack(
    package: &Package,
    dest: &Path,
    keep: &dyn Fn(&Path) -> bool,
) -> Result<(), KbuildError> {
    let found = Sha256::of(&files::read(&package.path)?);
    if found != package.sha256 {
        return Err(KbuildError::Tampered {
            name: package.name.clone(),
            path: package.path.clone(),
            locked: package.sha256,
            found,
        });
    }
    Ok(deb::extract(&package.path, dest, keep)?)
}

/// A key of the digests of `packages`, whatever their order, names and places.
pub(crate) fn key(kind: &str, version: u32, packages: &[Package]) -> Sha256 {
    let mut digests: Vec<Sha256> = packages.iter().map(|package| package.sha256).collect();
    digests.sort_unstable();
    digests.dedup();
    digests
        .iter()
        .fold(KeyBuilder::new(kind, version), |key, digest| {
            key.digest("package", digest)
        })
        .finish()
}

pub(crate) fn names(packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .map(|package| package.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, text: &str) -> Package {
        Package {
            name: name.into(),
            path: format!("/store/{name}").into(),
            sha256: Sha256::of(text.as_bytes()),
        }
    }

    #[test]
    fn the_key_depends_on_the_digests_alone() {
        let [a, b, c] = ["a", "b", "c"].map(|name| package(name, name));
        let both = key("root", 1, &[a.clone(), b.clone()]);
        assert_eq!(
            both,
            key("root", 1, &[b.clone(), a.clone(), package("again", "a")])
        );
        assert_ne!(both, key("root", 1, &[a.clone(), c]));
        assert_ne!(both, key("root", 1, std::slice::from_ref(&a)));
        assert_ne!(both, key("root", 2, &[a.clone(), b.clone()]));
        assert_ne!(both, key("headers", 1, &[a, b]));
    }

    #[test]
    fn a_package_that_is_not_the_locked_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut tampered = package("gcc-10", "as locked");
        tampered.path = dir.path().join("gcc.deb");
        files::write_atomic(&tampered.path, b"something else").unwrap();
        let error = unpack(&tampered, dir.path(), &|_| true).unwrap_err();
        assert_eq!(error.verdict(), "tampered-package");
        assert!(error.is_infrastructure());
        assert!(error.to_string().contains("gcc-10"), "{error}");
    }
}
