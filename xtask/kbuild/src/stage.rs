// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every stage returns, and how two cells that need the same thing make it once.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidelock_host::files::{self, FileError};
use tidelock_model::Sha256;

/// The result of a stage, with what the scheduler and the report want to know of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stage<T> {
    /// What was made.
    pub result: T,
    /// The key of everything it depends on.
    pub key: Sha256,
    /// Whether all of it was there already.
    pub cached: bool,
    /// How long it took this time.
    pub duration: Duration,
}

impl<T> Stage<T> {
    pub(crate) fn new(result: T, key: Sha256, cached: bool, started: Instant) -> Self {
        Self {
            result,
            key,
            cached,
            duration: started.elapsed(),
        }
    }
}

/// The place of `key` in the part `kind` of the cache.
pub(crate) fn place(cache: &Path, kind: &str, key: &Sha256) -> PathBuf {
    cache.join(kind).join(key.to_hex())
}

/// A folder to build in, below the cache; it goes when the guard does.
///
/// Its name is nowhere in what is built: a sandbox sees it as `/work`.
pub(crate) fn work_dir(cache: &Path) -> Result<TempDir, FileError> {
    let parent = cache.join("work");
    files::make_dir(&parent)?;
    tempfile::Builder::new()
        .prefix("build-")
        .tempdir_in(&parent)
        .map_err(FileError::of("create a folder in", &parent))
}

/// Runs `make` unless `path` exists; of several callers in this process, one makes it and the
/// others wait. True when it was there already.
pub(crate) fn once<E>(path: &Path, make: impl FnOnce() -> Result<(), E>) -> Result<bool, E> {
    if path.exists() {
        return Ok(true);
    }
    let makers = lock(makers()).entry(path.to_owned()).or_default().clone();
    let _turn = lock(&makers);
    if path.exists() {
        return Ok(true);
    }
    make().map(|()| false)
}

type Makers = Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>;

fn makers() -> &'static Makers {
    static MAKERS: OnceLock<Makers> = OnceLock::new();
    MAKERS.get_or_init(Makers::default)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half-changed by a maker that panicked: folders are made atomically.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn of_many_callers_one_makes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made");
        let made = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    once(&path, || {
                        made.fetch_add(1, Ordering::SeqCst);
                        // Long enough for the others to come in, were they let.
                        std::thread::sleep(Duration::from_millis(50));
                        std::fs::create_dir(&path)
                    })
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert!(once(&path, || Err(())).unwrap(), "it is there already");
    }

    #[test]
    fn after_a_failure_the_next_caller_tries_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made");
        assert!(once(&path, || Err("no")).is_err());
        assert!(!once(&path, || std::fs::create_dir(&path)).unwrap());
    }
}
