// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A download on its way: it survives a crash, and only one process writes it.

use std::{
    fs,
    io::{Seek as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{fs::FlockOperation, io::Errno};
use sha2::Digest as _;
use tidelock_host::files::{self, FileError};
use tidelock_model::Sha256;

use crate::{
    file::FileRef,
    store::{Store, hash_all},
};

/// A locked file that grows to a [`FileRef`].
pub(crate) struct Part<'a> {
    store: &'a Store,
    want: &'a FileRef,
    path: PathBuf,
    file: fs::File,
    hasher: sha2::Sha256,
    length: u64,
}

/// What came of waiting for the lock.
pub(crate) enum Locked<'a> {
    /// It is ours to download.
    Ours(Part<'a>),
    /// Somebody else finished it meanwhile.
    Done(PathBuf),
}

impl<'a> Part<'a> {
    /// Waits until nobody else downloads the same file.
    pub(crate) async fn lock(store: &'a Store, want: &'a FileRef) -> Result<Locked<'a>, FileError> {
        let path = store.part(&want.sha256);
        if let Some(parent) = path.parent() {
            files::make_dir(parent)?;
        }
        loop {
            let file = open(&path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_same(&file, &path) => {
                    if let Some(done) = store.get(&want.sha256)? {
                        let _ = fs::remove_file(&path);
                        return Ok(Locked::Done(done));
                    }
                    return Ok(Locked::Ours(Self {
                        store,
                        want,
                        path,
                        file,
                        hasher: sha2::Sha256::new(),
                        length: 0,
                    }));
                }
                // Renamed away under us: by now the name may belong to another file.
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(FileError::of("lock", &path)(error.into())),
            }
        }
    }

    /// Takes up what an earlier attempt left; says how much that is.
    pub(crate) fn resume(&mut self) -> Result<u64, FileError> {
        let on_error = || FileError::of("read", &self.path);
        self.file.rewind().map_err(on_error())?;
        let again = self.file.try_clone().map_err(on_error())?;
        let (hasher, length) = hash_all(again).map_err(on_error())?;
        if length > self.want.size {
            self.restart()?;
        } else {
            (self.hasher, self.length) = (hasher, length);
        }
        Ok(self.length)
    }

    /// Throws away what there is.
    pub(crate) fn restart(&mut self) -> Result<(), FileError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(FileError::of("truncate", &self.path))?;
        self.hasher = sha2::Sha256::new();
        self.length = 0;
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file
            .write_all(bytes)
            .map_err(FileError::of("write", &self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The digest of what there is.
    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::from_bytes(self.hasher.clone().finalize().into())
    }

    /// Moves the finished file into the store; the caller has compared the digest.
    pub(crate) fn finish(&mut self) -> Result<PathBuf, FileError> {
        self.store.adopt(&self.path, &self.want.sha256)
    }
}

fn open(path: &Path) -> Result<fs::File, FileError> {
    fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(FileError::of("open", path))
}

fn is_same(file: &fs::File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
