// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The disks of guests: the userlands of the lock, packed.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use tidelock_archive::{Fetcher, Store};
use tidelock_host::files;
use tidelock_kbuild::UserlandRequest;
use tidelock_matrix::{Lock, LockedUserland, Matrix};
use tidelock_model::{KeyBuilder, Sha256};
use tidelock_report::Live;
use tidelock_vm::spec::Disk;

use super::{build, sources};
use crate::exit::UsageError;

/// Where files that are put over the packages' are, by userland.
const FILES: &str = "images/userland";

/// What a userland is made of, read once.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    userland: LockedUserland,
    prepare: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Recipe {
    /// Of every userland of `lock`, in its order.
    pub(crate) fn read(root: &Path, matrix: &Matrix, lock: &Lock) -> Result<Vec<Self>> {
        let one = |userland: &LockedUserland| {
            let folder = root.join(FILES).join(&userland.name);
            let mut files = BTreeMap::new();
            if folder.is_dir() {
                collect(&folder, "", &mut files)?;
            }
            let spec = matrix.userland(&userland.name).ok_or_else(|| {
                let name = &userland.name;
                UsageError(format!(
                    "matrix.lock has the userland {name}, which matrix.toml does not have: run \
                     `cargo xtask kernels lock`"
                ))
            })?;
            Ok(Self {
                userland: userland.clone(),
                prepare: spec.prepare.clone(),
                files,
            })
        };
        lock.userlands.iter().map(one).collect()
    }

    /// Of all that the disk is made of.
    pub(crate) fn digest(&self) -> Sha256 {
        let mut key = KeyBuilder::new("userland", 1).text("name", &self.userland.name);
        for package in &self.userland.packages {
            key = key.digest("package", &package.file.sha256);
        }
        for (path, bytes) in &self.files {
            key = key.bytes(path, bytes);
        }
        for command in &self.prepare {
            key = key.text("prepare", command);
        }
        key.finish()
    }
}

fn collect(folder: &Path, below: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &path, files)?;
        } else {
            files.insert(path, files::read(&entry.path())?);
        }
    }
    Ok(())
}

/// Fetches what `recipes` are made of, and packs them, unless that was done.
pub(crate) async fn disks(
    cache: &Path,
    recipes: &[Recipe],
    fetcher: &Fetcher,
    live: &Arc<Live>,
) -> Result<Vec<Disk>> {
    let mut disks = Vec::new();
    for recipe in recipes {
        let label = format!("userland {}", recipe.userland.name);
        let packages = recipe.userland.files();
        let fetched = fetcher.fetch(&packages, sources::shown(live, label.as_str()));
        fetched.await.context(label)?;
        let (cache, recipe) = (cache.to_owned(), recipe.clone());
        let store = fetcher.store().clone();
        let packed = tokio::task::spawn_blocking(move || pack(&cache, &recipe, &store));
        disks.push(packed.await??);
    }
    Ok(disks)
}

fn pack(cache: &Path, recipe: &Recipe, store: &Store) -> Result<Disk> {
    let packages = build::packages(&recipe.userland.packages, store);
    let request = UserlandRequest {
        packages: &packages,
        files: &recipe.files,
        prepare: &recipe.prepare,
    };
    let packed = tidelock_kbuild::ensure_userland(cache, &request)?.result;
    Ok(Disk {
        name: recipe.userland.name.clone(),
        image: packed.image,
        sha256: packed.sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_packages_decide_what_a_disk_is() {
        let root = tempfile::tempdir().unwrap();
        let mut lock = Lock::parse(include_str!("../../../matrix.lock")).unwrap();
        let put = |text: &[u8]| {
            let path = root.path().join(FILES).join("apps/etc/passwd");
            files::write_atomic(&path, text).unwrap();
        };
        let mut matrix = Matrix::parse(include_str!("../../../matrix.toml")).unwrap();
        let digest = |matrix: &Matrix, lock: &Lock| {
            let recipes = Recipe::read(root.path(), matrix, lock).unwrap();
            let apps = recipes.iter().find(|recipe| recipe.userland.name == "apps");
            apps.unwrap().digest()
        };
        let bare = digest(&matrix, &lock);
        put(b"root");
        let filled = digest(&matrix, &lock);
        put(b"toor");
        let changed = digest(&matrix, &lock);
        lock.userlands[0].packages.pop();
        let fewer = digest(&matrix, &lock);
        matrix.userlands[0].prepare.push("true".into());
        let prepared = digest(&matrix, &lock);
        let all = [bare, filled, changed, fewer, prepared];
        assert_eq!(std::collections::BTreeSet::from(all).len(), all.len());
        matrix.userlands.clear();
        let error = Recipe::read(root.path(), &matrix, &lock).unwrap_err();
        assert!(error.is::<UsageError>(), "{error}");
    }
}
