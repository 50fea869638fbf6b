// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The locked packages as a directory source: checked against the lock file when they are used.
//!
//! cargo checks a package when it downloads it and never again, and what it has unpacked lies
//! open to whatever runs as the user. The core is built from what is unpacked here instead.

use std::{
    collections::BTreeSet,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use tidelock_host::files::{self, FileError};
use tidelock_model::Sha256;

use crate::{CoreError, locked::Locked};

/// Settings of the cargo that builds the core: the directory source, and nothing of the user's.
pub(crate) const CONFIG: &str = "[source.crates-io]
replace-with = \"locked\"

[source.locked]
directory = \"/crates\"
";

/// Unpacks each package, from the `.crate` files in the folders `caches`, into a folder of
/// `dest`.
pub(crate) fn unpack(
    packages: &BTreeSet<Locked>,
    caches: &[PathBuf],
    dest: &Path,
) -> Result<(), CoreError> {
    files::make_dir(dest)?;
    for package in packages {
        let bytes = find(package, caches)?;
        let gzip = flate2::read::GzDecoder::new(Cursor::new(bytes));
        // Refuses to leave `dest`; every entry lies below the package's stem.
        tar::Archive::new(gzip)
            .unpack(dest)
            .map_err(FileError::of("unpack a package into", dest))?;
        let folder = dest.join(package.stem());
        if !folder.join("Cargo.toml").is_file() {
            return Err(CoreError::OddCrate {
                package: package.stem(),
            });
        }
        // No file is listed: all of them have just come from the package of this checksum.
        let sums = format!("{{\"files\":{{}},\"package\":\"{}\"}}", package.checksum);
        files::write_atomic(&folder.join(".cargo-checksum.json"), sums.as_bytes())?;
    }
    Ok(())
}

/// The bytes of the package's file, as the lock file wants them.
fn find(package: &Locked, caches: &[PathBuf]) -> Result<Vec<u8>, CoreError> {
    let name = format!("{}.crate", package.stem());
    let mut other = None;
    for path in caches.iter().map(|dir| dir.join(&name)) {
        if !path.is_file() {
            continue;
        }
        let bytes = files::read(&path)?;
        if Sha256::of(&bytes) == package.checksum {
            return Ok(bytes);
        }
        other = Some(path);
    }
    Err(match other {
        Some(path) => CoreError::ChangedCrate { path },
        None => CoreError::NoCrate {
            package: package.stem(),
        },
    })
}

/// The folders, one a registry, in which cargo keeps `.crate` files.
pub(crate) fn caches(cargo_home: &Path) -> Result<Vec<PathBuf>, FileError> {
    let dir = cargo_home.join("registry/cache");
    let mut found = Vec::new();
    if dir.is_dir() {
        for entry in fs::read_dir(&dir).map_err(FileError::of("list", &dir))? {
            found.push(entry.map_err(FileError::of("list", &dir))?.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locked;

    /// A `.crate` file whose entries are these.
    fn package(entries: &[(&str, &str)]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (name, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append(&header, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    /// What comes of it when `stored` lies in the cache and the lock file wants `wanted`.
    fn unpacked(stored: Option<&[u8]>, wanted: &[u8]) -> Result<tempfile::TempDir, CoreError> {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("Cargo.lock");
        let sum = Sha256::of(wanted);
        let text = format!(
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"{sum}\"\n"
        );
        files::write_atomic(&lock, text.as_bytes()).unwrap();
        if let Some(bytes) = stored {
            let file = dir.path().join("registry/cache/r/a-1.0.0.crate");
            files::write_atomic(&file, bytes).unwrap();
        }
        let caches = caches(dir.path()).unwrap();
        unpack(&locked::all(&lock)?, &caches, &dir.path().join("out"))?;
        Ok(dir)
    }

    #[test]
    fn a_package_is_unpacked_with_its_checksum() {
        let good = package(&[("a-1.0.0/Cargo.toml", "x"), ("a-1.0.0/src/lib.rs", "y")]);
        let dir = unpacked(Some(&good), &good).unwrap();
        let read = |name: &str| files::read_text(&dir.path().join("out/a-1.0.0").join(name));
        assert_eq!(read("src/lib.rs").unwrap(), "y");
        let sums = read(".cargo-checksum.json").unwrap();
        assert!(sums.contains(&Sha256::of(&good).to_hex()), "{sums}");
    }

    #[test]
    fn another_package_than_the_locked_one_is_refused() {
        let good = package(&[("a-1.0.0/Cargo.toml", "x")]);
        let other = package(&[("a-1.0.0/Cargo.toml", "z")]);
        let error = unpacked(Some(&other), &good).unwrap_err();
        assert!(matches!(error, CoreError::ChangedCrate { .. }), "{error}");
        let error = unpacked(None, &good).unwrap_err();
        assert!(matches!(error, CoreError::NoCrate { .. }), "{error}");
        let foreign = package(&[("b-1.0.0/Cargo.toml", "x")]);
        let error = unpacked(Some(&foreign), &foreign).unwrap_err();
        assert!(matches!(error, CoreError::OddCrate { .. }), "{error}");
    }

    #[test]
    fn nothing_is_written_outside() {
        let good = ("a-1.0.0/Cargo.toml", "x");
        let climbing = package(&[good, ("../climbed", "z")]);
        let dir = unpacked(Some(&climbing), &climbing).unwrap();
        assert!(!dir.path().join("climbed").exists());
    }
}
