// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `Packages`: what an archive's suite offers.

use std::{collections::HashMap, io::Read as _};

use crate::{
    deb822::{self, Paragraph},
    file::FileRef,
    version,
};

/// More than any index unpacks to: sid's is 65 MB.
const LIMIT: u64 = 512 << 20;

/// An index that was promised as it is cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the index {index}: {reason}")]
pub struct IndexError {
    /// Which one.
    pub index: String,
    /// What is wrong with it.
    pub reason: String,
}

impl IndexError {
    /// The stable name of the verdict.
    pub const fn verdict(&self) -> &'static str {
        "malformed-index"
    }
}

/// A package as an index tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub arch: String,
    /// What it needs, `Pre-Depends` first, in Debian's own words.
    pub depends: String,
    /// What else it is known by, in Debian's own words.
    pub provides: String,
    /// The package's file.
    pub file: FileRef,
}

/// The packages of a suite, by name; of one name there can be several versions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Index {
    packages: HashMap<String, Vec<Package>>,
}

impl Index {
    /// Every version of a package, newest first.
    pub fn versions(&self, name: &str) -> &[Package] {
        self.packages.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every package, in no order.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().flatten()
    }

    /// Adds one; of two with the same name and version, the first stays.
    pub fn add(&mut self, package: Package) {
        let versions = self.packages.entry(package.name.clone()).or_default();
        let place = versions
            .binary_search_by(|known| version::compare(&known.version, &package.version).reverse());
        if let Err(place) = place {
            versions.insert(place, package);
        }
    }
}

/// Adds the packages of an uncompressed `Packages` to `index`.
pub fn parse(archive: &str, name: &str, text: &str, index: &mut Index) -> Result<(), IndexError> {
    let malformed = |reason: String| IndexError {
        index: name.into(),
        reason,
    };
    for paragraph in deb822::paragraphs(text) {
        let paragraph = paragraph.map_err(|error| malformed(error.to_string()))?;
        index.add(package(archive, &paragraph).map_err(malformed)?);
    }
    Ok(())
}

fn package(archive: &str, paragraph: &Paragraph<'_>) -> Result<Package, String> {
    let name = paragraph
        .get("Package")
        .ok_or("a paragraph of no Package")?;
    let need = |field: &str| {
        paragraph
            .get(field)
            .ok_or_else(|| format!("{name} has no {field}"))
    };
    let path = need("Filename")?;
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(format!(
            "{name} has the Filename {path:?}, outside of the archive"
        ));
    }
    let bad = |field: &str| format!("{name} has a {field} that is none");
    let relations = [paragraph.get("Pre-Depends"), paragraph.get("Depends")];
    Ok(Package {
        name: name.into(),
        version: need("Version")?.into(),
        arch: need("Architecture")?.into(),
        depends: relations
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
        provides: paragraph.get("Provides").unwrap_or_default().into(),
        file: FileRef {
            archive: archive.into(),
            path: path.into(),
            size: need("Size")?.parse().map_err(|_| bad("Size"))?,
            sha256: need("SHA256")?.parse().map_err(|_| bad("SHA256"))?,
        },
    })
}

/// Unpacks an index; the name tells how it is compressed.
pub fn decompress(name: &str, bytes: &[u8]) -> Result<String, IndexError> {
    let mut text = String::new();
    let read = match name.rsplit('.').next() {
        Some("xz") => liblzma::read::XzDecoder::new_multi_decoder(bytes)
            .take(LIMIT)
            .read_to_string(&mut text),
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes)
            .take(LIMIT)
            .read_to_string(&mut text),
        _ => bytes.take(LIMIT).read_to_string(&mut text),
    };
    match read {
        Ok(length) if (length as u64) < LIMIT => Ok(text),
        Ok(_) => Err(IndexError {
            index: name.into(),
            reason: format!("it unpacks to more than {LIMIT} bytes"),
        }),
        Err(error) => Err(IndexError {
            index: name.into(),
            reason: error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(version: &str, path: &str) -> String {
        format!(
            "Package: p\nVersion: {version}\nArchitecture: all\nDepends: b\nPre-Depends: a\n\
             Filename: {path}\nSize: 3\nSHA256: {}\n\n",
            "0".repeat(64)
        )
    }

    #[test]
    fn versions_come_newest_first_and_relations_in_order() {
        let text = entry("1~rc1", "x") + &entry("2", "y") + &entry("1", "z") + &entry("2", "w");
        let mut index = Index::default();
        parse("debian", "Packages", &text, &mut index).unwrap();
        let versions = index.versions("p");
        let seen: Vec<_> = versions.iter().map(|p| p.version.as_str()).collect();
        assert_eq!(seen, ["2", "1", "1~rc1"]);
        assert_eq!(versions[0].file.path, "y");
        assert_eq!(versions[0].depends, "a, b");
        assert!(index.versions("q").is_empty());
    }

    #[test]
    fn faults_are_named() {
        let read = |text: &str| parse("debian", "I", text, &mut Index::default());
        for (text, told) in [
            ("Version: 1\n".into(), "no Package"),
            ("Package: p\nVersion: 1\n".into(), "no Filename"),
            (entry("1", "../../etc/passwd"), "outside"),
            (entry("1", "/etc/passwd"), "outside"),
            (entry("1", "x").replace("Size: 3", "Size: -3"), "Size"),
            (entry("1", "x").replace("000", "00g"), "SHA256"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(decompress("Packages.xz", b"not xz").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "((Package|Version|Filename|Size|SHA256|Architecture): ?[0-9a-f./\n]{0,9}\n?){0,9}") {
            let _ = parse("a", "i", &text, &mut Index::default());
        }
    }
}
