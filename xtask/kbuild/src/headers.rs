// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A kernel's headers: each package unpacked once, whichever kernels share it.

use std::{
    path::{Component, Path, PathBuf},
    time::Instant,
};

use tidelock_host::files;
use tidelock_model::{KeyBuilder, Release, Sha256};

use crate::{
    error::KbuildError,
    packages::{self, Package},
    stage::{self, Stage},
};

/// Raise it when the code below unpacks other files of the same packages.
const RECIPE: u32 = 1;

/// The unpacked headers, kbuild and compiler packages of one kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers {
    /// The kernel they belong to.
    pub release: Release,
    /// The key of their packages and of the release.
    pub key: Sha256,
    /// The folders of the unpacked packages.
    pub folders: Vec<PathBuf>,
}

impl Headers {
    /// The kernel's own folder, as it is called in a sandbox.
    pub fn build_dir(&self) -> String {
        format!("/usr/src/linux-headers-{}", self.release)
    }

    /// Where a file of the packages (`usr/src/...`) is on the host.
    pub fn find(&self, path: &str) -> Option<PathBuf> {
        self.folders
            .iter()
            .map(|folder| folder.join(path))
            .find(|candidate| candidate.exists())
    }

    /// Where a file of the kernel's own folder is on the host.
    ///
    /// # Errors
    /// When none of the packages has it.
    pub fn file(&self, name: &str) -> Result<PathBuf, KbuildError> {
        let path = format!("usr/src/linux-headers-{}/{name}", self.release);
        self.find(&path).ok_or_else(|| KbuildError::Incomplete {
            what: format!("/{path}"),
            packages: self
                .folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect(),
        })
    }

    /// The text of the kernel's `Module.symvers`.
    ///
    /// # Errors
    /// When the packages lack it, or it cannot be read.
    pub fn module_symvers(&self) -> Result<String, KbuildError> {
        Ok(files::read_text(&self.file("Module.symvers")?)?)
    }
}

/// Unpacks the headers of `release` under `cache`, except what is there.
///
/// # Errors
/// When a package is not the locked one, is damaged, or the packages lack what a build needs.
pub fn ensure_headers(
    cache: &Path,
    release: &Release,
    packages: &[Package],
) -> Result<Stage<Headers>, KbuildError> {
    let started = Instant::now();
    let mut cached = true;
    let mut folders = Vec::new();
    for package in packages {
        let one = packages::key("headers-package", RECIPE, std::slice::from_ref(package));
        let path = stage::place(cache, "headers", &one);
        cached &= stage::once(&path, || {
            files::make_dir_atomic(&path, |dir| packages::unpack(package, dir, &wanted))
        })?;
        folders.push(path);
    }
    folders.sort_unstable();
    let key = KeyBuilder::new("headers", RECIPE)
        .text("release", release.as_str())
        .digest("packages", &packages::key("headers", RECIPE, packages))
        .finish();
    let headers = Headers {
        release: release.clone(),
        key,
        folders,
    };
    for name in ["Makefile", "Module.symvers", "include/generated/autoconf.h"] {
        headers.file(name).map_err(|error| match error {
            KbuildError::Incomplete { what, .. } => KbuildError::Incomplete {
                what,
                packages: packages::names(packages),
            },
            other => other,
        })?;
    }
    Ok(Stage::new(headers, key, cached, started))
}

/// The folders of the other architectures are two thirds of what the common packages hold.
fn wanted(path: &Path) -> bool {
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    if (parts.next(), parts.next()) != (Some("usr"), Some("src")) {
        return path == Path::new("usr")
            || path.starts_with("usr/lib")
            || Path::new("usr/lib").starts_with(path);
    }
    let common = parts.next().is_some_and(|name| name.contains("-common"));
    let arch = parts.next() == Some("arch");
    match parts.next() {
        Some(name) if common && arch => name == "x86" || name.starts_with("Kconfig"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_architectures_and_manuals_are_left_out() {
        for path in [
            "usr/src/linux-headers-6.1.0-56-common/arch/arm64",
            "usr/src/linux-headers-6.1.0-56-common-rt/arch/arm64/include/asm/page.h",
            "usr/share/doc/linux-kbuild-6.1/copyright",
        ] {
            assert!(!wanted(Path::new(path)), "{path}");
        }
        for path in [
            "usr",
            "usr/src/linux-headers-6.1.0-56-common",
            "usr/src/linux-headers-6.1.0-56-common/arch",
            "usr/src/linux-headers-6.1.0-56-common/arch/x86/Makefile",
            "usr/src/linux-headers-6.1.0-56-amd64/arch/x86/module.lds",
            "usr/src/linux-headers-6.1.0-56-common/include/linux/fs.h",
            "usr/lib/linux-kbuild-6.1/scripts/mod/modpost",
        ] {
            assert!(wanted(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn packages_without_the_kernels_own_folder_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let release = "6.1.0-56-amd64".parse().unwrap();
        let error = ensure_headers(dir.path(), &release, &[]).unwrap_err();
        assert_eq!(error.verdict(), "incomplete-packages");
        assert!(
            error
                .to_string()
                .contains("/usr/src/linux-headers-6.1.0-56-amd64/Makefile"),
            "{error}"
        );
    }
}
