// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the source of Rust's own libraries comes from: core and alloc are compiled for the
//! kernel, with the kernel's code model and thunks.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidelock_host::files;
use tidelock_model::Sha256;

use crate::{CoreError, Toolchain};

/// Which of the possible sources it is. The artefact's record says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RustSrcOrigin {
    /// The component `rust-src` of the toolchain itself.
    Component,
    /// Debian's package `rust-src`, installed on this host.
    DebianInstalled,
    /// A package that the caller has unpacked, by its name and version.
    Package(String),
}

/// The `library` folder of a Rust source that matches the compiler. Only ever read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RustSrc {
    library: PathBuf,
    origin: RustSrcOrigin,
    identity: Identity,
}

/// What tells one source from another in the content key. Reading all of it at each run would
/// take longer than everything else in a run that has nothing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Identity {
    /// The file it came in, which was verified against this digest.
    Package(Sha256),
    /// The compiler's commit names it: rustup verified and installed both together.
    Compiler,
    /// Its content must be read.
    Content,
}

impl RustSrc {
    /// Looks where the component and Debian's package are installed.
    ///
    /// # Errors
    /// When neither is there, or the one that is there is of another version.
    pub fn detect(toolchain: &Toolchain) -> Result<Self, CoreError> {
        let component = toolchain.sysroot.join("lib/rustlib/src/rust/library");
        let debian = PathBuf::from(format!("/usr/src/rustc-{}/library", toolchain.version));
        let found = [
            (component, RustSrcOrigin::Component, Identity::Compiler),
            (debian, RustSrcOrigin::DebianInstalled, Identity::Content),
        ]
        .into_iter()
        .find(|(library, ..)| library.join("core/src/lib.rs").is_file());
        match found {
            Some((library, origin, identity)) => Self::open(library, origin, identity, toolchain),
            None => Err(CoreError::NoRustSrc {
                version: toolchain.version.clone(),
            }),
        }
    }

    /// The `library` folder of an unpacked package, such as Debian's `rust-src` from the lock;
    /// `package` is what the record will call it, `digest` the verified package's own.
    ///
    /// # Errors
    /// When it is not such a folder, or of another version than the compiler.
    pub fn from_package(
        library: &Path,
        package: &str,
        digest: Sha256,
        toolchain: &Toolchain,
    ) -> Result<Self, CoreError> {
        let origin = RustSrcOrigin::Package(package.into());
        let identity = Identity::Package(digest);
        Self::open(library.to_owned(), origin, identity, toolchain)
    }

    fn open(
        library: PathBuf,
        origin: RustSrcOrigin,
        identity: Identity,
        toolchain: &Toolchain,
    ) -> Result<Self, CoreError> {
        for missing in PARTS.iter().copied().chain(["core/src/lib.rs"]) {
            if !library.join(missing).exists() {
                return Err(CoreError::NotRustSrc {
                    path: library,
                    missing,
                });
            }
        }
        // A whole source says its version; the component does not, and cannot differ.
        let version = library.join("../src/version");
        if version.is_file() {
            let found = files::read_text(&version)?.trim().to_owned();
            if found != toolchain.version {
                return Err(CoreError::RustSrcVersion {
                    path: library,
                    found,
                    wanted: toolchain.version.clone(),
                });
            }
        }
        Ok(Self {
            library,
            origin,
            identity,
        })
    }

    /// The folder.
    pub fn library(&self) -> &Path {
        &self.library
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Which of the possible sources it is.
    pub fn origin(&self) -> &RustSrcOrigin {
        &self.origin
    }
}

/// What core, alloc and compiler_builtins are made of: the two last hold files that core's
/// modules are in.
pub(crate) const PARTS: [&str; 5] = [
    "alloc",
    "compiler-builtins",
    "core",
    "portable-simd",
    "stdarch",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(sysroot: &Path) -> Toolchain {
        Toolchain {
            version: "1.95.0".into(),
            commit: "59807616e1fa".into(),
            host: "x86_64-unknown-linux-gnu".into(),
            sysroot: sysroot.into(),
        }
    }

    fn source(root: &Path, version: &str) -> PathBuf {
        let library = root.join("library");
        for part in PARTS {
            files::make_dir(&library.join(part)).unwrap();
        }
        files::write_atomic(&library.join("core/src/lib.rs"), b"").unwrap();
        files::write_atomic(&root.join("src/version"), version.as_bytes()).unwrap();
        library
    }

    #[test]
    fn the_component_is_found_in_the_sysroot() {
        let dir = tempfile::tempdir().unwrap();
        let library = source(&dir.path().join("lib/rustlib/src/rust"), "1.95.0\n");
        let found = RustSrc::detect(&toolchain(dir.path())).unwrap();
        assert_eq!(found.library(), library);
        assert_eq!(*found.origin(), RustSrcOrigin::Component);
    }

    #[test]
    fn another_version_and_another_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let library = source(dir.path(), "1.94.1\n");
        let open = |library: &Path| {
            let digest = Sha256::of(b"deb");
            RustSrc::from_package(library, "rust-src 1.95.0", digest, &toolchain(dir.path()))
                .map_err(|error| error.to_string())
        };
        let error = open(&library).unwrap_err();
        assert!(error.ends_with("is the source of Rust 1.94.1, and the compiler is 1.95.0"));
        files::write_atomic(&dir.path().join("src/version"), b"1.95.0").unwrap();
        assert_eq!(
            *open(&library).unwrap().origin(),
            RustSrcOrigin::Package("rust-src 1.95.0".into())
        );
        let error = open(dir.path()).unwrap_err();
        assert!(error.contains("holds no alloc"), "{error}");
    }
}
