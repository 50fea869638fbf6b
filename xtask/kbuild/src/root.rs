// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Build roots: one folder per toolchain, unpacked from locked packages.
//!
//! No maintainer script runs, so that a root needs no privilege, no network and nothing of the
//! host, and depends on nothing but the packages' bytes. What the scripts would have made and a
//! build needs is made here.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Instant,
};

use tidelock_archive::deb;
use tidelock_host::files::{self, FileError};
use tidelock_model::Sha256;

use crate::{
    error::KbuildError,
    packages::{self, Package},
    stage::{self, Stage},
};

/// Raise it when the code below makes another root out of the same packages.
const RECIPE: u32 = 2;

/// Where the headers' packages are mounted in a root.
pub(crate) const KERNEL: &str = "/kernel";

/// An unpacked build root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// Its folder.
    pub path: PathBuf,
    /// The key of its packages.
    pub key: Sha256,
}

/// Makes the build root of `packages` under `cache`, unless it is there.
///
/// # Errors
/// When a package is not the locked one, is damaged, or the packages lack what a build needs.
pub fn ensure_root(cache: &Path, packages: &[Package]) -> Result<Stage<Root>, KbuildError> {
    let started = Instant::now();
    let key = packages::key("root", RECIPE, packages);
    let path = stage::place(cache, "roots", &key);
    let cached = stage::once(&path, || {
        files::make_dir_atomic(&path, |root| fill(root, packages))
    })?;
    Ok(Stage::new(Root { path, key }, key, cached, started))
}

fn fill(root: &Path, packages: &[Package]) -> Result<(), KbuildError> {
    // Packages of before the merge of /usr ship /bin/x, later ones /usr/bin/x.
    deb::merge_usr(root)?;
    for package in packages {
        packages::unpack(package, root, &wanted)?;
    }
    finish(root)?;
    for program in ["sh", "awk", "make", "ld", "objcopy", "strip"] {
        if !root.join("usr/bin").join(program).exists() {
            return Err(KbuildError::Incomplete {
                what: format!("/usr/bin/{program}"),
                packages: packages::names(packages),
            });
        }
    }
    Ok(())
}

/// What packages bring and no build of a module runs or reads: half of a root.
fn wanted(path: &Path) -> bool {
    let manual = ["doc", "man", "info", "locale", "lintian", "bug", "doc-base"]
        .iter()
        .any(|name| path.starts_with(Path::new("usr/share").join(name)));
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let unused = file == "lto1"
        || file.contains("lto-dump")
        // The run-time libraries of sanitizers, and what sparse's LLVM backend is linked with.
        || ["libasan", "libhwasan", "liblsan", "libtsan", "libubsan", "libLLVM", "libicu", "libz3"]
            .iter()
            .any(|start| file.starts_with(start));
    !manual && !unused
}

/// The mount points, and the links that maintainer scripts would have made.
fn finish(root: &Path) -> Result<(), KbuildError> {
    for dir in ["kernel", "work", "dev", "proc", "tmp", "etc"] {
        files::make_dir(&root.join(dir))?;
    }
    // The headers' Makefiles name each other below /usr/src, their links lead to ../../lib:
    // both hold where the packages' whole `usr` is mounted elsewhere and /usr/src leads there.
    let src = root.join("usr/src");
    if src.is_dir() {
        fs::remove_dir_all(&src).map_err(FileError::of("remove", &src))?;
    }
    link("../kernel/usr/src", &src)?;
    // What update-alternatives and dash's postinst make, unless a package ships it.
    for (name, targets) in [("sh", ["dash", "bash"]), ("awk", ["mawk", "gawk"])] {
        let path = root.join("usr/bin").join(name);
        let bin = root.join("usr/bin");
        if let (false, Some(target)) = (
            path.exists(),
            targets.into_iter().find(|target| bin.join(target).exists()),
        ) {
            link(target, &path)?;
        }
    }
    Ok(())
}

fn link(target: &str, path: &Path) -> Result<(), FileError> {
    if path.is_symlink() {
        fs::remove_file(path).map_err(FileError::of("remove", path))?;
    }
    symlink(target, path).map_err(FileError::of("create", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manuals_are_left_out_and_programs_are_not() {
        for path in [
            "usr/share/doc",
            "usr/share/man/man1/gcc.1.gz",
            "usr/lib/gcc/x86_64-linux-gnu/12/lto1",
            "usr/bin/x86_64-linux-gnu-lto-dump-12",
            "usr/lib/x86_64-linux-gnu/libLLVM-14.so.1",
        ] {
            assert!(!wanted(Path::new(path)), "{path}");
        }
        for path in [
            "usr/share",
            "usr/share/perl/5.36/strict.pm",
            "usr/bin/gcc-10",
            "usr/lib/gcc/x86_64-linux-gnu/12/cc1",
            "usr/lib/gcc/x86_64-linux-gnu/12/liblto_plugin.so",
        ] {
            assert!(wanted(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn what_scripts_would_have_made_is_there_after() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["usr/bin/dash", "usr/bin/mawk", "usr/src/left/behind"] {
            files::write_atomic(&root.join(name), b"").unwrap();
        }
        finish(root).unwrap();
        let leads = |name: &str| fs::read_link(root.join(name)).unwrap();
        assert_eq!(leads("usr/bin/sh"), Path::new("dash"));
        assert_eq!(leads("usr/bin/awk"), Path::new("mawk"));
        assert_eq!(leads("usr/src"), Path::new("../kernel/usr/src"));
        finish(root).unwrap();
    }

    #[test]
    fn packages_that_make_no_root_are_told_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let error = ensure_root(dir.path(), &[]).unwrap_err();
        assert_eq!(error.verdict(), "incomplete-packages");
        assert_eq!(fs::read_dir(dir.path().join("roots")).unwrap().count(), 0);
    }
}
