// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which kernels the archive offers: from indexes to kernels, without IO.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::Serialize;
use tidelock_archive::{
    index::{Index, Package},
    version,
};
use tidelock_model::{Arch, Flavour, Release};

use crate::{
    lock::{LockedKernel, LockedPackage},
    relation::{Relation, clauses},
    spec::{Matrix, SuiteSpec},
};

/// A suite's specification and what it offers.
pub type Offer<'a> = (&'a SuiteSpec, &'a Index);

/// A kernel that can be built for and booted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundKernel {
    /// As it would be locked.
    pub kernel: LockedKernel,
    /// What its headers' packages depend on: its build root must offer that.
    pub needs: String,
}

/// A kernel with headers that is not taken.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Skipped {
    /// Its release.
    pub release: Release,
    /// The suite that offers it.
    pub suite: String,
    /// Why.
    pub reason: String,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// By series, version, flavour and release.
    pub kernels: Vec<FoundKernel>,
    /// What has headers and was not taken.
    pub skipped: Vec<Skipped>,
}

/// Finds every kernel of the declared series, flavours and architectures that has headers and
/// an image. One that several suites offer is taken in its newest version, and of the same
/// version from the first suite of `matrix.toml`.
pub fn find(matrix: &Matrix, offers: &[Offer<'_>]) -> Found {
    let mut best: BTreeMap<Release, FoundKernel> = BTreeMap::new();
    let mut skipped = Vec::new();
    for &(spec, index) in offers {
        for (release, headers) in releases(index) {
            let found = resolve(matrix, offers, (spec, index), &release, headers);
            match found {
                Ok(found) => {
                    let known = best.get(&release);
                    let newer = known.is_none_or(|known| {
                        version::compare(&known.kernel.version, &headers.version).is_lt()
                    });
                    if newer {
                        best.insert(release, found);
                    }
                }
                Err(reason) => skipped.push(Skipped {
                    release,
                    suite: spec.name.clone(),
                    reason,
                }),
            }
        }
    }
    // What one suite lacks another may have.
    skipped.retain(|skipped: &Skipped| !best.contains_key(&skipped.release));
    skipped.sort();
    let mut kernels: Vec<FoundKernel> = best.into_values().collect();
    kernels.sort_by(|a, b| order(&a.kernel, &b.kernel));
    Found { kernels, skipped }
}

/// The order of kernels in the lock and in every list.
pub(crate) fn order(a: &LockedKernel, b: &LockedKernel) -> Ordering {
    a.series
        .cmp(&b.series)
        .then_with(|| version::compare(&a.version, &b.version))
        .then_with(|| a.flavour.cmp(&b.flavour))
        .then_with(|| a.release.cmp(&b.release))
}

/// The releases that a suite has headers for, with the newest of these packages.
fn releases(index: &Index) -> BTreeMap<Release, &Package> {
    index
        .packages()
        .filter_map(|package| {
            let release = package.name.strip_prefix("linux-headers-")?;
            let newest = index.versions(&package.name).first()?;
            // A package that stands for the newest headers of a series depends on these; the
            // headers themselves depend on what they share with other flavours.
            let own = clauses(&newest.depends)
                .iter()
                .flatten()
                .any(|relation| is_common(relation.name));
            if own {
                Some((release.parse().ok()?, newest))
            } else {
                None
            }
        })
        .filter(|(release, _): &(Release, _)| kind(release).is_some())
        .collect()
}

fn is_common(name: &str) -> bool {
    name.starts_with("linux-headers-") && name.contains("-common")
}

/// The flavour and architecture that a release's name ends in.
pub fn kind(release: &Release) -> Option<(Flavour, Arch)> {
    let text = release.as_str();
    let arch = *Arch::ALL
        .iter()
        .find(|arch| text.ends_with(&format!("-{arch}")))?;
    let rest = text.strip_suffix(&format!("-{arch}"))?;
    let flavour = if rest.ends_with("-cloud") {
        Flavour::Cloud
    } else if rest.ends_with("-rt") {
        Flavour::Rt
    } else if rest.ends_with(|c: char| c.is_ascii_digit()) {
        Flavour::Standard
    } else {
        return None;
    };
    Some((flavour, arch))
}

fn resolve(
    matrix: &Matrix,
    offers: &[Offer<'_>],
    (spec, index): Offer<'_>,
    release: &Release,
    headers: &Package,
) -> Result<FoundKernel, String> {
    let series = release.series();
    let (flavour, arch) = kind(release).ok_or("its flavour is unknown")?;
    if matrix.series(series).is_none() {
        return Err(format!("the series {series} is not in matrix.toml"));
    }
    if !matrix.flavours.contains(&flavour) || !matrix.arches.contains(&arch) {
        return Err(format!("{flavour} on {arch} is not in matrix.toml"));
    }
    let image = image(index, release, &headers.version)?;
    let headers_part = header_packages(offers, index, headers)?;
    let needs: Vec<&str> = headers_part.iter().map(|p| p.depends.as_str()).collect();
    Ok(FoundKernel {
        needs: needs.join(", "),
        kernel: LockedKernel {
            release: release.clone(),
            series,
            flavour,
            arch,
            suite: spec.name.clone(),
            version: headers.version.clone(),
            root: spec.root.clone(),
            image: image.into_iter().map(locked).collect(),
            headers: headers_part.into_iter().map(locked).collect(),
        },
    })
}

/// What boots. From 7.x on the image is a package of packages: the kernel is in
/// `linux-binary`, its configuration in `linux-base`, its modules in `linux-modules`.
fn image<'a>(
    index: &'a Index,
    release: &Release,
    version: &str,
) -> Result<Vec<&'a Package>, String> {
    let exact = |name: String| {
        let mut versions = index.versions(&name).iter();
        let found = versions.find(|package| package.version == version);
        found.ok_or_else(|| format!("{name} {version} is not there"))
    };
    if index
        .versions(&format!("linux-binary-{release}"))
        .is_empty()
    {
        let signed = exact(format!("linux-image-{release}"));
        let any = signed.or_else(|_| exact(format!("linux-image-{release}-unsigned")));
        return Ok(vec![any.map_err(|_| {
            format!("linux-image-{release} {version} is not there")
        })?]);
    }
    ["base", "binary", "modules"]
        .map(|part| exact(format!("linux-{part}-{release}")))
        .into_iter()
        .collect()
}

/// What is built against: the headers, and what they depend on of the same family.
fn header_packages<'a>(
    offers: &[Offer<'a>],
    index: &'a Index,
    headers: &'a Package,
) -> Result<Vec<&'a Package>, String> {
    let family = ["linux-headers-", "linux-kbuild-", "linux-compiler-"];
    let mut chosen = vec![headers];
    let mut next = 0;
    while let Some(package) = chosen.get(next).copied() {
        next += 1;
        for relation in clauses(&package.depends)
            .iter()
            .filter_map(|clause| clause.first())
        {
            let known = chosen.iter().any(|package| package.name == relation.name);
            if known
                || !family
                    .iter()
                    .any(|prefix| relation.name.starts_with(prefix))
            {
                continue;
            }
            let own = best(index, relation, &headers.version);
            let any = || {
                offers
                    .iter()
                    .find_map(|(_, index)| best(index, relation, &headers.version))
            };
            chosen.push(
                own.or_else(any)
                    .ok_or_else(|| format!("{} is not there", relation.name))?,
            );
        }
    }
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(chosen)
}

/// The kernel's own version of a package, else the newest that will do.
fn best<'a>(index: &'a Index, relation: &Relation<'_>, version: &str) -> Option<&'a Package> {
    let versions = index.versions(relation.name);
    let allowed = || {
        versions
            .iter()
            .filter(|package| relation.allows(&package.version))
    };
    allowed()
        .find(|package| package.version == version)
        .or_else(|| allowed().next())
}

/// A package of an index as it is locked.
pub(crate) fn locked(package: &Package) -> LockedPackage {
    LockedPackage {
        name: package.name.clone(),
        version: package.version.clone(),
        arch: package.arch.clone(),
        file: package.file.clone(),
    }
}
