// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was resolved: every kernel and build root with the exact files that make it.

use serde::{Deserialize, Serialize};
use tidelock_archive::FileRef;
use tidelock_model::{Arch, Flavour, Release, Series, Sha256};

/// A package, pinned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub arch: String,
    /// Its file.
    pub file: FileRef,
}

impl LockedPackage {
    /// What it is referred to by in the lock: unlike the file's name, it has the epoch.
    pub fn id(&self) -> String {
        format!("{}_{}_{}", self.name, self.version, self.arch)
    }
}

/// A suite as it was when the lock was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSuite {
    /// Its name.
    pub name: String,
    /// Its archive.
    pub archive: String,
    /// The digest of its `InRelease`.
    pub sha256: Sha256,
    /// The release's own date.
    pub date: String,
    /// The end of its validity, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// Days past that end at the time of locking; 0 for one in time.
    pub days_late: u64,
    /// Who signed it: the fingerprints of the good signatures' keys.
    pub signers: Vec<String>,
}

/// A kernel with the packages that make it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LockedKernel {
    /// What `uname -r` says.
    pub release: Release,
    /// Its series.
    pub series: Series,
    /// Its flavour.
    pub flavour: Flavour,
    /// Its architecture.
    pub arch: Arch,
    /// The suite it was locked from.
    pub suite: String,
    /// The version of its packages.
    pub version: String,
    /// The name of its build root.
    pub root: String,
    /// What boots: the kernel, its configuration, its modules.
    pub image: Vec<LockedPackage>,
    /// What is built against: headers and the tools that belong to them.
    pub headers: Vec<LockedPackage>,
}

impl LockedKernel {
    /// The files of what boots.
    pub fn image_files(&self) -> Vec<FileRef> {
        files(&self.image)
    }

    /// The files of what is built against.
    pub fn header_files(&self) -> Vec<FileRef> {
        files(&self.headers)
    }

    /// All its files.
    pub fn files(&self) -> Vec<FileRef> {
        [self.image_files(), self.header_files()].concat()
    }
}

/// A build root with the packages that make it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LockedRoot {
    /// Its name.
    pub name: String,
    /// The compiler's program.
    pub compiler: String,
    /// Everything that is unpacked into it.
    pub packages: Vec<LockedPackage>,
}

impl LockedRoot {
    /// All its files.
    pub fn files(&self) -> Vec<FileRef> {
        files(&self.packages)
    }
}

/// The packages of a guest's disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LockedUserland {
    /// Its name.
    pub name: String,
    /// Everything that is unpacked into it.
    pub packages: Vec<LockedPackage>,
}

impl LockedUserland {
    /// All its files.
    pub fn files(&self) -> Vec<FileRef> {
        files(&self.packages)
    }
}

/// A kernel that a signed index lists and whose files the archive does not serve any more, as
/// happens to suites at the end of their life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MissingKernel {
    /// What `uname -r` would say.
    pub release: Release,
    /// Its series.
    pub series: Series,
    /// Its flavour.
    pub flavour: Flavour,
    /// Its architecture.
    pub arch: Arch,
    /// The suite that lists it.
    pub suite: String,
    /// The version of its packages.
    pub version: String,
    /// Those of its packages that are not served.
    pub packages: Vec<String>,
}

/// The whole lock, with references followed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Lock {
    /// The suites it was made from, in the order of `matrix.toml`.
    pub suites: Vec<LockedSuite>,
    /// The kernels, by series, version, flavour.
    pub kernels: Vec<LockedKernel>,
    /// What would be among the kernels if the archive still served it, in the same order.
    pub missing: Vec<MissingKernel>,
    /// The build roots, by name.
    pub roots: Vec<LockedRoot>,
    /// The disks of guests, by name.
    pub userlands: Vec<LockedUserland>,
    /// The source of Rust's own library, of the pinned toolchain's version.
    pub rust_src: LockedPackage,
}

impl Lock {
    /// A kernel by its release.
    pub fn kernel(&self, release: &Release) -> Option<&LockedKernel> {
        self.kernels
            .iter()
            .find(|kernel| kernel.release == *release)
    }

    /// A build root by its name.
    pub fn root(&self, name: &str) -> Option<&LockedRoot> {
        self.roots.iter().find(|root| root.name == name)
    }

    /// A userland by its name.
    pub fn userland(&self, name: &str) -> Option<&LockedUserland> {
        self.userlands.iter().find(|userland| userland.name == name)
    }

    /// Every package once, by its name in the lock.
    pub fn packages(&self) -> Vec<&LockedPackage> {
        let kernels = self
            .kernels
            .iter()
            .flat_map(|kernel| kernel.image.iter().chain(&kernel.headers));
        let roots = self.roots.iter().flat_map(|root| &root.packages);
        let userlands = self
            .userlands
            .iter()
            .flat_map(|userland| &userland.packages);
        let others = roots.chain(userlands).chain([&self.rust_src]);
        let mut all: Vec<_> = kernels.chain(others).collect();
        all.sort_by_cached_key(|package| package.id());
        all.dedup();
        all
    }
}

/// The files of packages.
pub fn files(packages: &[LockedPackage]) -> Vec<FileRef> {
    packages
        .iter()
        .map(|package| package.file.clone())
        .collect()
}
