// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of archives: from the store, or fetched, verified and put there.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, sync::Arc};

use tidelock_host::files;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    fetch_error::{FetchError, FetchErrors, Kind},
    file::FileRef,
    http::{Client, Retry},
    mirror::Mirrors,
    part::{Locked, Part},
    progress::{Arrival, NoProgress, Progress},
    store::Store,
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
            None => (
                self.download(file, kind, progress).await?,
                Arrival::Downloaded,
            ),
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
        let mut first = None;
        for base in bases {
            let url = address(base, &file.path);
            match inner
                .client
                .download(&url, file, kind, &mut part, progress)
                .await
            {
                Ok(()) => return Ok(part.finish()?),
                Err(error @ FetchError::File(_)) => return Err(error),
                // The other mirrors may still have it; the first one's word is the report.
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        Err(first.unwrap_or_else(|| no_mirror(&file.archive)))
    }

    /// Gets a document that nothing pins, such as a signed release: its signature must.
    ///
    /// The last one seen of each address is kept for offline use.
    pub async fn document(&self, archive: &str, path: &str) -> Result<Vec<u8>, FetchError> {
        let inner = &*self.inner;
        let kept = inner.store.document(archive, path);
        if inner.mode == Mode::Offline {
            return files::read(&kept).map_err(|_| FetchError::Offline {
                what: format!("{path} of {archive}"),
                command: "cargo xtask kernels discover, once without --offline".into(),
            });
        }
        let mut first = None;
        for base in self.bases(archive)? {
            match inner
                .client
                .document(&address(base, path), DOCUMENT_LIMIT)
                .await
            {
                Ok(bytes) => {
                    files::write_atomic(&kept, &bytes)?;
                    return Ok(bytes);
                }
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        Err(first.unwrap_or_else(|| no_mirror(archive)))
    }

    /// Asks the archive whether it still serves a file, without downloading it.
    pub async fn presence(&self, file: &FileRef) -> Result<Presence, FetchError> {
        let _permit = self.inner.permits.acquire().await;
        let mut worst = Err(no_mirror(&file.archive));
        for base in self.bases(&file.archive)? {
            let answer = self.inner.client.size(&address(base, &file.path)).await;
            worst = match answer {
                Ok(Some(size)) if size != file.size => Ok(Presence::OtherSize(size)),
                Ok(_) => return Ok(Presence::Served),
                Err(FetchError::Vanished { .. }) => Ok(Presence::Vanished),
                Err(error) => Err(error),
            };
        }
        worst
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

fn no_mirror(archive: &str) -> FetchError {
    FetchError::NoMirror {
        archive: archive.into(),
    }
}

/// The address of a path: versions of packages have characters that an address cannot.
fn address(base: &str, path: &str) -> String {
    let mut url = format!("{base}/");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+:".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(
            address("http://127.0.0.1/debian", "pool/a_1.0+deb~1_all deb%?#.deb"),
            "http://127.0.0.1/debian/pool/a_1.0+deb~1_all%20deb%25%3F%23.deb"
        );
    }
}
