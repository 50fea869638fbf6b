// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of archives: from the store, or fetched, verified and put there.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tidelock_host::files;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    address::Address,
    fetch_error::{FetchError, FetchErrors, Kind},
    file::FileRef,
    http::{Client, Retry},
    mirror::Mirrors,
    part::{Locked, Part},
    progress::{Arrival, NoProgress, Progress},
    release::ReleaseError,
    store::Store,
    suite::ArchiveError,
};

/// Downloads at the same time: enough to hide latency, few enough for one mirror.
const PARALLEL: usize = 6;

/// A signed release is 200 KB; nothing honest is larger than this.
const DOCUMENT_LIMIT: u64 = 8 << 20;

/// Whether the network may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// What is missing is fetched.
    Online,
    /// What is missing is an error (`--offline`).
    Offline,
}

/// What is known of a file that was asked for without downloading it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Presence {
    /// The archive serves it, with the promised size or without saying its size.
    Served,
    /// The archive serves another size.
    OtherSize(u64),
    /// The archive does not serve it any more.
    Vanished,
}

/// Gets files; cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    mirrors: Mirrors,
    mode: Mode,
    client: Client,
    permits: Semaphore,
}

impl Fetcher {
    /// One that puts into `store` what it gets from `mirrors`.
    pub fn new(store: Store, mirrors: Mirrors, mode: Mode) -> Result<Self, FetchError> {
        Self::with_retry(store, mirrors, mode, Retry::default())
    }

    /// As [`Self::new`], with another patience.
    pub fn with_retry(
        store: Store,
        mirrors: Mirrors,
        mode: Mode,
        retry: Retry,
    ) -> Result<Self, FetchError> {
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                mirrors,
                mode,
                client: Client::new(retry)?,
                permits: Semaphore::new(PARALLEL),
            }),
        })
    }

    /// The store that files are put into.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Whether the network may be used.
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// Gets all packages, in parallel; their paths come in the order asked for.
    ///
    /// # Errors
    /// After everything was tried: all that failed, not the first alone.
    pub async fn fetch(
        &self,
        files: &[FileRef],
        progress: Arc<dyn Progress>,
    ) -> Result<Vec<PathBuf>, FetchErrors> {
        let unique: BTreeMap<_, &FileRef> = files.iter().map(|file| (file.sha256, file)).collect();
        progress.expect(unique.len(), unique.values().map(|file| file.size).sum());
        let mut tasks = JoinSet::new();
        for &file in unique.values() {
            let (this, file, progress) = (self.clone(), file.clone(), Arc::clone(&progress));
            tasks.spawn(async move {
                let path = this.fetch_one(&file, Kind::Package, &*progress).await;
                (file.sha256, path)
            });
        }
        let (mut paths, mut errors) = (BTreeMap::new(), Vec::new());
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok((sha256, Ok(path))) => drop(paths.insert(sha256, path)),
                Ok((_, Err(error))) => errors.push(error),
                Err(error) => errors.push(FetchError::Client(error.to_string())),
            }
        }
        if !errors.is_empty() {
            errors.sort_by_key(ToString::to_string);
            return Err(FetchErrors(errors));
        }
        Ok(files
            .iter()
            .filter_map(|file| paths.get(&file.sha256).cloned())
            .collect())
    }

    /// Gets one file.
    pub async fn fetch_one(
        &self,
        file: &FileRef,
        kind: Kind,
        progress: &dyn Progress,
    ) -> Result<PathBuf, FetchError> {
        let inner = &*self.inner;
        // Hashing is work for a thread of its own: others want to read their sockets.
        let (store, sha256) = (inner.store.clone(), file.sha256);
        let cached = tokio::task::spawn_blocking(move || store.get(&sha256))
            .await
            .map_err(|error| FetchError::Client(error.to_string()))??;
        let (path, how) = match cached {
            Some(path) => {
                progress.advance(i64::try_from(file.size).unwrap_or(i64::MAX));
                (path, Arrival::Cached)
            }
            None if inner.mode == Mode::Offline => {
                return Err(FetchError::Offline {
                    what: format!(
                        "{} of {} (SHA-256 {})",
                        file.path, file.archive, file.sha256
                    ),
                    command: "cargo xtask matrix, once without --offline".into(),
                });
            }
            None => {
                progress.downloading(file);
                let path = self.download(file, kind, progress).await?;
                (path, Arrival::Downloaded)
            }
        };
        progress.arrived(file, how);
        Ok(path)
    }

    async fn download(
        &self,
        file: &FileRef,
        kind: Kind,
        progress: &dyn Progress,
    ) -> Result<PathBuf, FetchError> {
        let inner = &*self.inner;
        let bases = self.bases(&file.archive)?;
        let _permit = inner.permits.acquire().await;
        let mut part = match Part::lock(&inner.store, file).await? {
            Locked::Done(path) => return Ok(path),
            Locked::Ours(part) => part,
        };
        let mut worst: Option<FetchError> = None;
        for base in bases {
            let address = Address::new(base, &file.path);
            match inner
                .client
                .download(&address, file, kind, &mut part, progress)
                .await
            {
                Ok(()) => return Ok(part.finish()?),
                Err(error @ FetchError::File(_)) => return Err(error),
                // The other mirrors may still have it.
                Err(error) => worst = Some(worse(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(|| no_mirror(&file.archive)))
    }

    /// Gets a document that nothing pins, such as a signed release, and what `accept` makes of it.
    ///
    /// The first mirror with an acceptable one is taken: what stands between us and a mirror may
    /// answer in its place. The last one accepted is kept for offline use.
    pub async fn document<T>(
        &self,
        archive: &str,
        path: &str,
        accept: impl Fn(&[u8]) -> Result<T, ReleaseError>,
    ) -> Result<T, ArchiveError> {
        let inner = &*self.inner;
        let kept = inner.store.document(archive, path);
        if inner.mode == Mode::Offline {
            let bytes = files::read(&kept).map_err(|_| FetchError::Offline {
                what: format!("{path} of {archive}"),
                command: "cargo xtask kernels discover, once without --offline".into(),
            })?;
            return Ok(accept(&bytes)?);
        }
        let (mut refused, mut worst) = (None, None);
        for base in self.bases(archive)? {
            let address = Address::new(base, path);
            match inner.client.document(&address, DOCUMENT_LIMIT).await {
                Ok(bytes) => match accept(&bytes) {
                    Ok(accepted) => {
                        files::write_atomic(&kept, &bytes).map_err(FetchError::from)?;
                        return Ok(accepted);
                    }
                    Err(error) => drop(refused.get_or_insert(error)),
                },
                Err(error) => worst = Some(worse(worst, error)),
            }
        }
        match refused {
            Some(error) => Err(error.into()),
            None => Err(worst.unwrap_or_else(|| no_mirror(archive)).into()),
        }
    }

    /// Asks the archive whether it still serves a file, without downloading it.
    ///
    /// It has vanished when every mirror says so, and is of another size when no mirror serves
    /// it as promised and one serves something else.
    ///
    /// # Errors
    /// When a mirror cannot be asked, and the others do not have the file.
    pub async fn presence(&self, file: &FileRef) -> Result<Presence, FetchError> {
        let _permit = self.inner.permits.acquire().await;
        let (mut other, mut failed) = (None, None);
        for base in self.bases(&file.archive)? {
            let address = Address::new(base, &file.path);
            match self.inner.client.size(&address).await {
                Ok(Some(size)) if size != file.size => drop(other.get_or_insert(size)),
                Ok(_) => return Ok(Presence::Served),
                Err(FetchError::Vanished { .. }) => {}
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        match (other, failed) {
            (Some(size), _) => Ok(Presence::OtherSize(size)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Presence::Vanished),
        }
    }

    fn bases(&self, archive: &str) -> Result<&[String], FetchError> {
        match self.inner.mirrors.bases(archive) {
            [] => Err(no_mirror(archive)),
            bases => Ok(bases),
        }
    }

    /// Gets one small or large file and reads it whole.
    pub async fn read(&self, file: &FileRef, kind: Kind) -> Result<Vec<u8>, FetchError> {
        let path = self.fetch_one(file, kind, &NoProgress).await?;
        Ok(files::read(&path)?)
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("store", &self.inner.store)
            .field("mirrors", &self.inner.mirrors)
            .field("mode", &self.inner.mode)
            .finish_non_exhaustive()
    }
}

fn worse(known: Option<FetchError>, error: FetchError) -> FetchError {
    match known {
        Some(known) => known.worse(error),
        None => error,
    }
}

fn no_mirror(archive: &str) -> FetchError {
    FetchError::NoMirror {
        archive: archive.into(),
    }
}
