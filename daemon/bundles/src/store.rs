// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The last good bundle of each trust domain, on disk.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use tidelock_tls::TrustDomain;

use crate::{Bundle, BundleError, MAX_BUNDLE};

/// A bundle is public.
const MODE: u32 = 0o644;
/// What the names of files end with, after the trust domain's.
const SUFFIX: &str = ".json";

/// A bundle was not kept, or is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{}: {source}; remove the file, and it is fetched anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// A bundle is older than the one that is kept.
    #[error(
        "the bundle of {domain} has the sequence {found}, and {kept} is kept: who serves it has \
         gone back, or somebody has kept an old one"
    )]
    Older {
        /// Whose it is.
        domain: String,
        /// Its sequence.
        found: u64,
        /// That of the one that stays.
        kept: u64,
    },
    /// A bundle cannot be written as one.
    #[error("the bundle of {domain} cannot be kept: {source}")]
    Unwritable {
        /// Whose it is.
        domain: String,
        /// Why not.
        source: BundleError,
    },
}

/// A folder of bundles.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store in `dir`, which is made when it is absent.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(failed("make the folder", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The bundle of `domain`; none when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn get(&self, domain: &TrustDomain) -> Result<Option<Bundle>, StoreError> {
        let path = self.path(domain);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let mut bytes = Vec::new();
        // One more than may be: what is too long is not taken for what is whole.
        file.take(MAX_BUNDLE as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(failed("read", &path))?;
        match Bundle::parse(&bytes) {
            Ok(bundle) => Ok(Some(bundle)),
            Err(source) => Err(StoreError::Damaged { path, source }),
        }
    }

    /// Keeps a bundle of `domain`, when it is another than the one that is there. Whether it is.
    ///
    /// # Errors
    /// When it is older than that, or cannot be written: then that one stays.
    pub fn put(&self, domain: &TrustDomain, bundle: &Bundle) -> Result<bool, StoreError> {
        let kept = self.get(domain)?;
        if let Some(kept) = &kept {
            if let (Some(found), Some(kept)) = (bundle.sequence, kept.sequence)
                && found < kept
            {
                let domain = domain.as_str().into();
                return Err(StoreError::Older {
                    domain,
                    found,
                    kept,
                });
            }
            if kept == bundle {
                return Ok(false);
            }
        }
        let path = self.path(domain);
        let text = bundle.to_json().map_err(|source| StoreError::Unwritable {
            domain: domain.as_str().into(),
            source,
        })?;
        tidelock_durable::write(&path, text.as_bytes(), MODE).map_err(failed("write", &path))?;
        Ok(true)
    }

    /// The name of a trust domain holds no `/`, but may be `..`.
    fn path(&self, domain: &TrustDomain) -> PathBuf {
        self.dir.join(format!("of-{}{SUFFIX}", domain.as_str()))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File {
        action,
        path,
        source,
    }
}
