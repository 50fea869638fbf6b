// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `cargo xtask kernels` does, without a word about how it is shown.

use std::{path::Path, sync::Arc, time::SystemTime};

use serde::Serialize;
use tidelock_archive::{
    ArchiveError, FetchError, Fetcher, Keyring, Mode, Suite, SuiteQuery, fetch_suite,
    release::{self, ReleaseError},
};
use tidelock_host::files::{self, FileError};
use tokio::task::JoinSet;

use crate::{
    diff::{Diff, diff},
    lock::{Lock, LockedSuite},
    resolve::{Discovery, ResolveError, resolve},
    serve,
    spec::{Matrix, SuiteSpec},
    strict::SpecError,
};

/// Anything that can go wrong between `matrix.toml` and `matrix.lock`.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// A file of ours cannot be used.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The archive cannot be used.
    #[error("{suite}: {source}")]
    Archive {
        /// The suite.
        suite: String,
        /// What went wrong.
        source: ArchiveError,
    },
    /// A release or the keyring cannot be used.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The archive lacks something.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The mirror is behind what was locked.
    #[error(
        "the release of {suite} is of {got}, and the lock was made from one of {locked}: the mirror went back in time. Use another one with --debian-mirror"
    )]
    RolledBack {
        /// The suite.
        suite: String,
        /// The date in the lock.
        locked: String,
        /// The date now.
        got: String,
    },
    /// A build root, a userland, or the source of Rust's library, cannot be fetched.
    #[error("{by} needs packages that the signed index lists and the mirror does not serve: {}. Use another one with --debian-mirror", packages.join(", "))]
    Unserved {
        /// The root, the userland, or `rust-src`.
        by: String,
        /// The packages.
        packages: Vec<String>,
    },
    /// The mirror serves something else than the signed index lists.
    #[error("the mirror serves packages of another size than the signed index lists: {}. Use another one with --debian-mirror", packages.join(", "))]
    Tampered {
        /// The packages, each with both sizes.
        packages: Vec<String>,
    },
    /// A lock says what is served, which nobody knows who may not ask.
    #[error(
        "a lock cannot be made with --offline: the mirror must be asked whether it serves what it lists. `cargo xtask kernels discover --offline` shows what the last indexes list"
    )]
    OfflineLock,
    /// The mirror cannot be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A task did not end.
    #[error("a task failed: {0}")]
    Task(String),
}

impl MatrixError {
    /// The stable name of the verdict.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Spec(SpecError::Lock { .. }) => "bad-lock",
            Self::Spec(_) => "bad-matrix",
            Self::File(_) => "file-error",
            Self::Archive { source, .. } => source.verdict(),
            Self::Release(error) => error.verdict(),
            Self::Resolve(_) => "unresolvable-matrix",
            Self::RolledBack { .. } => "rolled-back-release",
            Self::Unserved { .. } => "vanished-file",
            Self::Tampered { .. } => "tampered-package",
            Self::OfflineLock => "offline-lock",
            Self::Fetch(error) => error.verdict(),
            Self::Task(_) => "factory-error",
        }
    }
}

/// Reads `matrix.toml`.
pub fn read_matrix(path: &Path) -> Result<Matrix, MatrixError> {
    Ok(Matrix::parse(&files::read_text(path)?)?)
}

/// Reads `matrix.lock`.
pub fn read_lock(path: &Path) -> Result<Lock, MatrixError> {
    Ok(Lock::parse(&files::read_text(path)?)?)
}

/// Gets every suite of the matrix through its whole chain, in the order of the matrix.
pub(crate) async fn fetch_suites(
    matrix: &Matrix,
    fetcher: &Fetcher,
    now: SystemTime,
) -> Result<Vec<Suite>, MatrixError> {
    let keyring = Arc::new(Keyring::load(&matrix.keyrings)?);
    let arches: Vec<&str> = matrix.arches.iter().map(|arch| arch.as_str()).collect();
    let mut tasks = JoinSet::new();
    for (place, spec) in matrix.suites.iter().cloned().enumerate() {
        let (fetcher, keyring, arches) = (fetcher.clone(), Arc::clone(&keyring), arches.clone());
        tasks.spawn(async move {
            let suite = fetch_suite(&fetcher, query(&spec, &arches), &keyring, now).await;
            let named = suite.map_err(|source| MatrixError::Archive {
                suite: spec.name,
                source,
            });
            named.map(|suite| (place, suite))
        });
    }
    let mut suites = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        suites.push(joined.map_err(|error| MatrixError::Task(error.to_string()))??);
    }
    suites.sort_by_key(|(place, _)| *place);
    Ok(suites.into_iter().map(|(_, suite)| suite).collect())
}

fn query<'a>(spec: &'a SuiteSpec, arches: &'a [&'a str]) -> SuiteQuery<'a> {
    SuiteQuery {
        archive: &spec.archive,
        suite: &spec.name,
        components: &spec.components,
        arches,
        stale_days: spec.stale_days,
    }
}

/// Asks the archive what it offers now; `rust` is the toolchain's version, such as `1.95.0`.
pub async fn discover(
    matrix: &Matrix,
    fetcher: &Fetcher,
    rust: &str,
    now: SystemTime,
) -> Result<Discovery, MatrixError> {
    let suites = fetch_suites(matrix, fetcher, now).await?;
    let locked = matrix
        .suites
        .iter()
        .zip(&suites)
        .map(locked_suite)
        .collect();
    let warnings = matrix
        .suites
        .iter()
        .zip(&suites)
        .filter_map(lateness)
        .collect();
    let offers: Vec<_> = matrix
        .suites
        .iter()
        .zip(suites.iter().map(|s| &s.index))
        .collect();
    let mut discovery = resolve(matrix, &offers, locked, rust)?;
    discovery.warnings = warnings;
    if fetcher.mode() == Mode::Online {
        let unserved = serve::unserved(&discovery.lock, fetcher).await?;
        serve::set_aside(&mut discovery, &unserved)?;
    }
    Ok(discovery)
}

fn locked_suite((spec, suite): (&SuiteSpec, &Suite)) -> LockedSuite {
    let release = &suite.release;
    LockedSuite {
        name: spec.name.clone(),
        archive: spec.archive.clone(),
        sha256: release.sha256,
        date: release.date.clone(),
        valid_until: release.valid_until.clone(),
        days_late: release.days_late,
        signers: release.signers.clone(),
    }
}

fn lateness((spec, suite): (&SuiteSpec, &Suite)) -> Option<String> {
    let release = &suite.release;
    (release.days_late > 0).then(|| {
        format!(
            "the release of {} expired {} days ago ({}); accepted because its stale-days are {}",
            spec.name,
            release.days_late,
            release.valid_until.as_deref().unwrap_or("no date"),
            spec.stale_days,
        )
    })
}

/// The outcome of locking.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Locking {
    /// What was found, and is locked now.
    pub discovery: Discovery,
    /// What changed against the lock of before; `None` when there was none.
    pub diff: Option<Diff>,
}

/// Discovers, and writes the lock to `path`.
///
/// # Errors
/// Among others when nobody may be asked, and when the mirror's releases are older than those of
/// the lock that is there: nothing is written then.
pub async fn lock(
    matrix: &Matrix,
    path: &Path,
    fetcher: &Fetcher,
    rust: &str,
    now: SystemTime,
) -> Result<Locking, MatrixError> {
    if fetcher.mode() == Mode::Offline {
        return Err(MatrixError::OfflineLock);
    }
    let old = if path.exists() {
        Some(read_lock(path)?)
    } else {
        None
    };
    let discovery = discover(matrix, fetcher, rust, now).await?;
    if let Some(old) = &old {
        refuse_older(old, &discovery.lock)?;
    }
    files::write_atomic(path, discovery.lock.render()?.as_bytes())?;
    Ok(Locking {
        diff: old.map(|old| diff(&old, &discovery.lock)),
        discovery,
    })
}

fn refuse_older(old: &Lock, new: &Lock) -> Result<(), MatrixError> {
    for suite in &new.suites {
        let Some(known) = old.suites.iter().find(|known| known.name == suite.name) else {
            continue;
        };
        let time = |suite: &LockedSuite| release::time(&suite.name, "Date", &suite.date);
        if time(suite)? < time(known)? {
            return Err(MatrixError::RolledBack {
                suite: suite.name.clone(),
                locked: known.date.clone(),
                got: suite.date.clone(),
            });
        }
    }
    Ok(())
}
