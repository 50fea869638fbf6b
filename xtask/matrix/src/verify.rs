// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the lock still stands: every locked file against the signed chain and the mirror.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use serde::Serialize;
use tidelock_archive::{Fetcher, FileRef, Presence, Progress, index::Package};
use tokio::task::JoinSet;

use crate::{
    lock::{Lock, LockedPackage},
    ops::{MatrixError, fetch_suites},
    spec::Matrix,
};

/// How closely files are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// The mirror is asked for each file's size.
    Sizes,
    /// Each file is fetched, unless it is in the store, and hashed (`--deep`).
    Contents,
}

/// What is known of a locked package today.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// A signed index lists it with the locked size and digest.
    Listed,
    /// No index lists it any more, and the mirror still serves it.
    Unlisted,
    /// The archive has dropped it, and the store still has it.
    CachedOnly,
}

/// A locked package that does not stand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fault {
    /// Its name in the lock.
    pub package: String,
    /// The stable name of the verdict.
    pub verdict: String,
    /// What was found.
    pub detail: String,
}

/// The outcome of a verification.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Verification {
    /// Packages that a signed index lists as they are locked.
    pub listed: usize,
    /// Packages that only the mirror still has.
    pub unlisted: Vec<String>,
    /// Packages that only the store still has: no other host can get them.
    pub cached_only: Vec<String>,
    /// Packages that do not stand.
    pub faults: Vec<Fault>,
}

/// Verifies every locked package.
///
/// # Errors
/// When a suite's chain is not good; faults of packages are part of the result.
pub async fn verify(
    matrix: &Matrix,
    lock: &Lock,
    fetcher: &Fetcher,
    depth: Depth,
    progress: Arc<dyn Progress>,
    now: SystemTime,
) -> Result<Verification, MatrixError> {
    let suites = fetch_suites(matrix, fetcher, now).await?;
    let mut offered: HashMap<(&str, &str), &Package> = HashMap::new();
    for package in suites.iter().flat_map(|suite| suite.index.packages()) {
        offered.insert((&package.file.archive, &package.file.path), package);
    }
    let packages = lock.packages();
    let size = packages.iter().map(|package| package.file.size).sum();
    progress.expect(packages.len(), size);
    let mut tasks = JoinSet::new();
    for package in packages {
        let key = (package.file.archive.as_str(), package.file.path.as_str());
        let listed = offered.get(&key).map(|offer| offer.file.clone());
        let (fetcher, package, progress) =
            (fetcher.clone(), package.clone(), Arc::clone(&progress));
        tasks.spawn(async move {
            let standing = standing(&fetcher, &package, listed, depth, &*progress).await;
            (package.id(), standing)
        });
    }
    let mut result = Verification::default();
    while let Some(joined) = tasks.join_next().await {
        match joined.map_err(|error| MatrixError::Task(error.to_string()))? {
            (_, Ok(Standing::Listed)) => result.listed += 1,
            (id, Ok(Standing::Unlisted)) => result.unlisted.push(id),
            (id, Ok(Standing::CachedOnly)) => result.cached_only.push(id),
            (package, Err((verdict, detail))) => result.faults.push(Fault {
                package,
                verdict: verdict.into(),
                detail,
            }),
        }
    }
    result.unlisted.sort();
    result.cached_only.sort();
    result.faults.sort_by(|a, b| a.package.cmp(&b.package));
    Ok(result)
}

async fn standing(
    fetcher: &Fetcher,
    package: &LockedPackage,
    listed: Option<FileRef>,
    depth: Depth,
    progress: &dyn Progress,
) -> Result<Standing, (&'static str, String)> {
    let file = &package.file;
    if let Some(offer) = listed.as_ref().filter(|offer| *offer != file) {
        return Err((
            "tampered-package",
            format!(
                "locked with SHA-256 {} and {} bytes, and the signed index says {} and {} bytes",
                file.sha256, file.size, offer.sha256, offer.size
            ),
        ));
    }
    let standing = if listed.is_some() {
        Standing::Listed
    } else {
        Standing::Unlisted
    };
    if depth == Depth::Contents {
        let fetched = fetcher
            .fetch_one(file, tidelock_archive::Kind::Package, progress)
            .await;
        fetched.map_err(|error| (error.verdict(), error.to_string()))?;
        return Ok(standing);
    }
    let presence = fetcher.presence(file).await;
    match presence.map_err(|error| (error.verdict(), error.to_string()))? {
        Presence::Served => {
            progress.arrived(file, tidelock_archive::Arrival::Cached);
            Ok(standing)
        }
        Presence::OtherSize(size) => Err((
            "tampered-package",
            format!(
                "locked with {} bytes, and the mirror serves {size}",
                file.size
            ),
        )),
        Presence::Vanished if fetcher.store().seems_to_hold(file) => Ok(Standing::CachedOnly),
        Presence::Vanished => Err((
            "vanished-file",
            format!(
                "{} is gone from {}; `cargo xtask kernels lock` takes what is offered now",
                file.path, file.archive
            ),
        )),
    }
}
