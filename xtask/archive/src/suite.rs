// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A suite by its whole chain: release by signature, index by hash.

use std::time::SystemTime;

use crate::{
    fetch::Fetcher,
    fetch_error::{FetchError, FetchErrors, Kind},
    file::FileRef,
    index::{self, Index, IndexError},
    openpgp::Keyring,
    release::{self, Release, ReleaseError},
};

/// Anything that can go wrong between an archive and us.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Several files could not be had.
    #[error(transparent)]
    FetchMany(#[from] FetchErrors),
    /// A release cannot be trusted.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// An index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The suite does not have what matrix.toml says it has.
    #[error(
        "the release of {suite} lists no {path}: look at `components` and `arches` in matrix.toml"
    )]
    NoIndex {
        /// The suite.
        suite: String,
        /// The index that is not there.
        path: String,
    },
}

impl ArchiveError {
    /// The stable name of the verdict.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.verdict(),
            Self::FetchMany(errors) => errors.verdict(),
            Self::Release(error) => error.verdict(),
            Self::Index(error) => error.verdict(),
            Self::NoIndex { .. } => "no-index",
        }
    }
}

/// Which suite is wanted, and what is accepted as it.
#[derive(Clone, Copy, Debug)]
pub struct SuiteQuery<'a> {
    /// The archive's name.
    pub archive: &'a str,
    /// The suite's name, as in `dists/`.
    pub suite: &'a str,
    /// Such as `main`.
    pub components: &'a [String],
    /// Debian's names of the architectures.
    pub arches: &'a [&'a str],
    /// Days past the end of its validity that are accepted.
    pub stale_days: u32,
}

/// A suite whose chain is good.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Its release.
    pub release: Release,
    /// What it offers.
    pub index: Index,
}

/// Gets a suite's release and indexes, and verifies them.
pub async fn fetch_suite(
    fetcher: &Fetcher,
    query: SuiteQuery<'_>,
    keyring: &Keyring,
    now: SystemTime,
) -> Result<Suite, ArchiveError> {
    let dists = format!("dists/{}", query.suite);
    let document = format!("{dists}/InRelease");
    let verify = |bytes: &[u8]| release::verify(query.suite, bytes, keyring, now, query.stale_days);
    let release = fetcher.document(query.archive, &document, verify).await?;
    let mut index = Index::default();
    for component in query.components {
        for arch in query.arches {
            let name = format!("{component}/binary-{arch}/Packages.xz");
            let missing = || ArchiveError::NoIndex {
                suite: query.suite.into(),
                path: name.clone(),
            };
            let (size, sha256) = release.file(&name).ok_or_else(missing)?;
            let path = if release.by_hash {
                format!("{dists}/{component}/binary-{arch}/by-hash/SHA256/{sha256}")
            } else {
                format!("{dists}/{name}")
            };
            let file = FileRef {
                archive: query.archive.into(),
                path,
                size,
                sha256,
            };
            let bytes = fetcher.read(&file, Kind::Index).await?;
            let title = format!("{name} of {}", query.suite);
            let text = index::decompress(&name, &bytes)?;
            index::parse(query.archive, &title, &text, &mut index)?;
        }
    }
    Ok(Suite { release, index })
}
