// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What has changed between a lock and what the archive offers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;
use tidelock_model::Release;

use crate::lock::{Lock, LockedKernel, LockedPackage};

/// A kernel on one side only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Mention {
    /// Its release.
    pub release: Release,
    /// The suite that has it, or had it.
    pub suite: String,
    /// Its version.
    pub version: String,
}

/// Something on both sides that is not the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// A kernel's release or a root's name.
    pub name: String,
    /// What is different, a line each.
    pub details: Vec<String>,
}

/// What has changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Diff {
    /// Kernels that the archive offers and the lock has not.
    pub new: Vec<Mention>,
    /// Kernels that the lock has and the archive does not offer, or does not serve, any more.
    pub vanished: Vec<Mention>,
    /// Kernels whose packages are others now.
    pub changed: Vec<Change>,
    /// Build roots, userlands, and the source of Rust's library, whose packages are others now.
    pub roots: Vec<Change>,
}

impl Diff {
    /// Whether both sides are the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares a lock with what a discovery found.
pub fn diff(old: &Lock, new: &Lock) -> Diff {
    let mention = |kernel: &LockedKernel| Mention {
        release: kernel.release.clone(),
        suite: kernel.suite.clone(),
        version: kernel.version.clone(),
    };
    let only_in = |one: &Lock, other: &Lock| {
        let kernels = one.kernels.iter();
        let alone = kernels.filter(|kernel| other.kernel(&kernel.release).is_none());
        alone.map(mention).collect()
    };
    let changed = old.kernels.iter().filter_map(|kernel| {
        let details = kernel_details(kernel, new.kernel(&kernel.release)?);
        change(kernel.release.to_string(), details)
    });
    let (old_sets, new_sets) = (package_sets(old), package_sets(new));
    let names: BTreeSet<&String> = old_sets.keys().chain(new_sets.keys()).collect();
    let roots = names.into_iter().filter_map(|name| {
        let packages = |sets: &BTreeMap<_, _>| sets.get(name).copied().unwrap_or_default();
        let details = package_details(packages(&old_sets), packages(&new_sets));
        change(name.clone(), details)
    });
    let rust = package_details(
        std::slice::from_ref(&old.rust_src),
        std::slice::from_ref(&new.rust_src),
    );
    Diff {
        new: only_in(new, old),
        vanished: only_in(old, new),
        changed: changed.collect(),
        roots: roots.chain(change("rust-src".into(), rust)).collect(),
    }
}

/// What is unpacked whole, by what it is called in a diff.
fn package_sets(lock: &Lock) -> BTreeMap<String, &[LockedPackage]> {
    let roots = lock
        .roots
        .iter()
        .map(|root| (root.name.clone(), root.packages.as_slice()));
    let userlands = lock.userlands.iter().map(|userland| {
        let name = format!("userland {}", userland.name);
        (name, userland.packages.as_slice())
    });
    roots.chain(userlands).collect()
}

fn change(name: String, details: Vec<String>) -> Option<Change> {
    (!details.is_empty()).then_some(Change { name, details })
}

fn kernel_details(old: &LockedKernel, new: &LockedKernel) -> Vec<String> {
    let fields = [
        ("suite", &old.suite, &new.suite),
        ("version", &old.version, &new.version),
        ("root", &old.root, &new.root),
    ];
    let fields = fields
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(field, old, new)| format!("{field}: {old} -> {new}"));
    fields
        .chain(package_details(&old.image, &new.image))
        .chain(package_details(&old.headers, &new.headers))
        .collect()
}

fn package_details(old: &[LockedPackage], new: &[LockedPackage]) -> Vec<String> {
    let by_name = |packages: &[LockedPackage]| -> BTreeMap<String, LockedPackage> {
        packages
            .iter()
            .map(|package| (package.name.clone(), package.clone()))
            .collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| match (old.get(name), new.get(name)) {
            (Some(old), None) => Some(format!("- {name} {}", old.version)),
            (None, Some(new)) => Some(format!("+ {name} {}", new.version)),
            (Some(old), Some(new)) if old.version != new.version => {
                Some(format!("{name}: {} -> {}", old.version, new.version))
            }
            (Some(old), Some(new)) if old.file.sha256 != new.file.sha256 => Some(format!(
                "{name} {}: OTHER BYTES under the same version: {} -> {}",
                old.version, old.file.sha256, new.file.sha256
            )),
            (Some(old), Some(new)) if old.file != new.file => Some(format!(
                "{name} {}: moved: {}/{} -> {}/{}",
                old.version, old.file.archive, old.file.path, new.file.archive, new.file.path
            )),
            _ => None,
        })
        .collect()
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "the archive offers what is locked");
        }
        let mentions = [("new", '+', &self.new), ("vanished", '-', &self.vanished)];
        for (title, sign, mentions) in mentions {
            if !mentions.is_empty() {
                writeln!(f, "{title}: {}", mentions.len())?;
            }
            for mention in mentions {
                writeln!(
                    f,
                    "  {sign} {} ({} {})",
                    mention.release, mention.suite, mention.version
                )?;
            }
        }
        for (title, changes) in [
            ("changed", &self.changed),
            ("build roots and userlands", &self.roots),
        ] {
            if !changes.is_empty() {
                writeln!(f, "{title}: {}", changes.len())?;
            }
            for change in changes {
                writeln!(f, "  {}", change.name)?;
                for detail in &change.details {
                    writeln!(f, "    {detail}")?;
                }
            }
        }
        Ok(())
    }
}
