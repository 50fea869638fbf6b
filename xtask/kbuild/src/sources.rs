// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The module's C sources, as plain data.

use std::{collections::BTreeMap, fs, path::Path};

use tidelock_host::files::{self, FileError};
use tidelock_model::{KeyBuilder, Sha256};

use crate::{error::KbuildError, probe::Probe};

/// Where the probes are among the sources.
const PROBES: &str = "compat/probes/";

/// The files of `kmod/` that a kernel's own compiler sees, by path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// What is compiled: `Kbuild`, `src/`, `compat/`, `include/`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What is only asked.
    pub probes: Vec<Probe>,
}

impl Sources {
    /// Reads them from the module's folder.
    ///
    /// # Errors
    /// When a file cannot be read, or a probe's name cannot be one.
    pub fn read(kmod: &Path) -> Result<Self, KbuildError> {
        let mut all = BTreeMap::new();
        all.insert("Kbuild".into(), files::read(&kmod.join("Kbuild"))?);
        for part in ["src", "compat", "include"] {
            collect(kmod, part, &mut all)?;
        }
        Self::of(all)
    }

    /// Tells the probes from the rest.
    ///
    /// # Errors
    /// When a probe's name cannot be one.
    pub fn of(all: BTreeMap<String, Vec<u8>>) -> Result<Self, KbuildError> {
        let (probes, files): (BTreeMap<_, _>, BTreeMap<_, _>) = all
            .into_iter()
            .partition(|(path, _)| path.starts_with(PROBES));
        let probes = probes
            .into_iter()
            .filter_map(|(path, text)| {
                let name = path.strip_prefix(PROBES)?.strip_suffix(".c")?.to_owned();
                Some(Probe::new(&name, text))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { files, probes })
    }

    /// The digest of all that is compiled, of its paths too.
    pub fn digest(&self) -> Sha256 {
        self.files
            .iter()
            .fold(KeyBuilder::new("sources", 1), |key, (path, bytes)| {
                key.bytes(path, bytes)
            })
            .finish()
    }

    /// Writes all that is compiled into a work folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), KbuildError> {
        for (path, bytes) in &self.files {
            files::write_atomic(&dir.join(path), bytes)?;
        }
        Ok(())
    }
}

fn collect(
    kmod: &Path,
    part: &str,
    all: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), KbuildError> {
    let dir = kmod.join(part);
    if !dir.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(&dir).map_err(FileError::of("read", &dir))?;
    for entry in entries {
        let entry = entry.map_err(FileError::of("read", &dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{part}/{name}");
        if entry.path().is_dir() {
            collect(kmod, &path, all)?;
        } else if is_source(&name) {
            all.insert(path, files::read(&entry.path())?);
        }
    }
    Ok(())
}

/// An editor's leavings and a README change nothing that is built.
fn is_source(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|ext| ext.to_str());
    matches!(extension, Some("c" | "h" | "S" | "lds")) || name == "Kbuild" || name == "Makefile"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_told_from_what_is_compiled() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("Kbuild", "obj-m := tidelock.o"),
            ("src/main.c", "int x;"),
            ("src/main.c~", "old"),
            ("compat/compat.h", "#pragma once"),
            ("compat/probes/class_create.c", "probe"),
            ("compat/README.md", "text"),
        ] {
            files::write_atomic(&dir.path().join(path), text.as_bytes()).unwrap();
        }
        let sources = Sources::read(dir.path()).unwrap();
        let paths: Vec<&str> = sources.files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["Kbuild", "compat/compat.h", "src/main.c"]);
        let probes: Vec<&str> = sources.probes.iter().map(Probe::name).collect();
        assert_eq!(probes, ["class_create"]);
    }

    #[test]
    fn the_digest_is_of_what_is_compiled() {
        let of = |files: &[(&str, &str)]| {
            Sources::of(
                files
                    .iter()
                    .map(|(path, text)| ((*path).into(), (*text).into()))
                    .collect(),
            )
            .unwrap()
            .digest()
        };
        let base = of(&[("src/a.c", "1")]);
        assert_eq!(base, of(&[("src/a.c", "1"), ("compat/probes/p.c", "2")]));
        assert_ne!(base, of(&[("src/a.c", "2")]));
        assert_ne!(base, of(&[("src/b.c", "1")]));
    }
}
