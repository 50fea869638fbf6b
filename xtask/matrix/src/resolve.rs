// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From verified indexes to a whole lock, without IO.

use serde::Serialize;
use tidelock_archive::{
    index::{Index, Package},
    version,
};

use crate::{
    closure::{self, Need, Unmet},
    find::{self, Found, FoundKernel, Offer, Skipped, locked},
    lock::{Lock, LockedPackage, LockedRoot, LockedSuite, LockedUserland},
    spec::{Matrix, RootSpec},
};

/// The archive does not offer what the matrix asks for.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A build root cannot be completed.
    #[error("the build root {root}: {unmet}")]
    Root {
        /// Its name.
        root: String,
        /// What is missing.
        unmet: Unmet,
    },
    /// A userland cannot be completed.
    #[error("the userland {userland}: {unmet}")]
    Userland {
        /// Its name.
        userland: String,
        /// What is missing.
        unmet: Unmet,
    },
    /// The toolchain's library has no source in the archive.
    #[error("no suite of `rust-src` in matrix.toml offers {package} of version {version}; it offers: {}", if offered.is_empty() { "none".into() } else { offered.join(", ") })]
    NoRustSrc {
        /// The package.
        package: String,
        /// The toolchain's version.
        version: String,
        /// The versions that are there.
        offered: Vec<String>,
    },
}

/// The outcome of a discovery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Discovery {
    /// Everything as it would be locked now.
    pub lock: Lock,
    /// Kernels with headers that were not taken, and why.
    pub skipped: Vec<Skipped>,
    /// What a person should know, such as releases that are too old but were let through.
    pub warnings: Vec<String>,
}

/// Resolves the whole matrix against what the suites offer.
///
/// `rust` is the toolchain's version, such as `1.95.0`.
pub fn resolve(
    matrix: &Matrix,
    offers: &[Offer<'_>],
    suites: Vec<LockedSuite>,
    rust: &str,
) -> Result<Discovery, ResolveError> {
    let Found { kernels, skipped } = find::find(matrix, offers);
    let mut roots = Vec::new();
    for spec in &matrix.roots {
        let used: Vec<_> = kernels
            .iter()
            .filter(|found| found.kernel.root == spec.name)
            .collect();
        if used.is_empty() {
            continue;
        }
        let index = merged(&spec.suites, offers);
        let packages = root_packages(matrix, spec, &index, &used)?;
        roots.push(LockedRoot {
            name: spec.name.clone(),
            compiler: spec.compiler.clone(),
            packages: packages.into_iter().map(locked).collect(),
        });
    }
    roots.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Discovery {
        lock: Lock {
            rust_src: rust_src(matrix, offers, rust)?,
            kernels: kernels.into_iter().map(|found| found.kernel).collect(),
            missing: Vec::new(),
            roots,
            userlands: userlands(matrix, offers)?,
            suites,
        },
        skipped,
        warnings: Vec::new(),
    })
}

/// These suites as one.
fn merged(suites: &[String], offers: &[Offer<'_>]) -> Index {
    let mut all = Index::default();
    for (_, index) in offers
        .iter()
        .filter(|(suite, _)| suites.contains(&suite.name))
    {
        index
            .packages()
            .for_each(|package| all.add(package.clone()));
    }
    all
}

fn root_packages<'a>(
    matrix: &Matrix,
    spec: &RootSpec,
    index: &'a Index,
    used: &[&'a FoundKernel],
) -> Result<Vec<&'a Package>, ResolveError> {
    let wanted = [matrix.root_packages.as_slice(), &spec.packages].concat();
    // The compiler that the headers were made for, and the libraries of the tools with them.
    let needs: Vec<Need<'_>> = used
        .iter()
        .map(|found| Need {
            by: found.kernel.release.as_str(),
            depends: &found.needs,
            except: "linux-",
        })
        .collect();
    closure::closure(index, &wanted, &needs).map_err(|unmet| ResolveError::Root {
        root: spec.name.clone(),
        unmet,
    })
}

/// The guests' disks, by name.
fn userlands(matrix: &Matrix, offers: &[Offer<'_>]) -> Result<Vec<LockedUserland>, ResolveError> {
    let mut all = Vec::new();
    for spec in &matrix.userlands {
        let index = merged(&spec.suites, offers);
        let packages = closure::closure(&index, &spec.packages, &[]);
        let packages = packages.map_err(|unmet| ResolveError::Userland {
            userland: spec.name.clone(),
            unmet,
        })?;
        all.push(LockedUserland {
            name: spec.name.clone(),
            packages: packages.into_iter().map(locked).collect(),
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The newest of Debian's packagings of the toolchain's version.
fn rust_src(
    matrix: &Matrix,
    offers: &[Offer<'_>],
    rust: &str,
) -> Result<LockedPackage, ResolveError> {
    let spec = &matrix.rust_src;
    let upstream = |package: &&Package| {
        let end = package
            .version
            .find(['+', '-', '~'])
            .unwrap_or(package.version.len());
        &package.version[..end] == rust
    };
    let suites = spec.suites.iter().filter_map(|name| {
        let offer = offers.iter().find(|(suite, _)| suite.name == *name)?;
        Some(offer.1.versions(&spec.package))
    });
    let all: Vec<&Package> = suites.flatten().collect();
    all.iter()
        .copied()
        .find(upstream)
        .map(locked)
        .ok_or_else(|| {
            let mut offered: Vec<String> =
                all.iter().map(|package| package.version.clone()).collect();
            offered.sort_by(|a, b| version::compare(a, b));
            offered.dedup();
            ResolveError::NoRustSrc {
                package: spec.package.clone(),
                version: rust.into(),
                offered,
            }
        })
}
