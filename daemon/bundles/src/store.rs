// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The last good bundle of each trust domain, on disk, in a form of our own: a bundle is kept with
//! whatever keys its authorities have.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tidelock_https::told;
use tidelock_tls::TrustDomain;

use crate::{Bundle, MAX_BUNDLE, bundle::authority};

/// A bundle is public.
const MODE: u32 = 0o644;
/// What the names of files end with, after the trust domain's.
const SUFFIX: &str = ".json";
/// As much of a trust domain's name as a file's name has place for, in bytes.
const MAX_NAME: usize = 180;

/// A bundle as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: Version,
    /// For people, and to tell one name that was cut from another.
    trust_domain: String,
    sequence: Option<u64>,
    refresh_hint: Option<u64>,
    /// Certificates, DER in base64.
    authorities: Vec<String>,
}

/// The layout of a file.
#[derive(Serialize, Deserialize)]
enum Version {
    #[serde(rename = "1")]
    One,
}

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
    #[error("{}: {reason}; remove the file, and it is fetched anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A bundle is older than the one that is kept.
    #[error(
        "the bundle of {domain} has the sequence {found}, and {kept} is kept: who serves it has \
         gone back, or somebody has kept an old one; if that is meant, remove {}", path.display()
    )]
    Older {
        /// Whose it is.
        domain: String,
        /// Its sequence.
        found: u64,
        /// That of the one that stays.
        kept: u64,
        /// The file of the one that stays.
        path: PathBuf,
    },
}

/// A folder of bundles.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    /// Held from the look at what is there to the end of its replacement.
    writing: Arc<Mutex<()>>,
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
            writing: Arc::default(),
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
        match read(&bytes, domain) {
            Ok(bundle) => Ok(Some(bundle)),
            Err(reason) => Err(StoreError::Damaged { path, reason }),
        }
    }

    /// Keeps a bundle of `domain`, when it is another than the one that is there. Whether it is.
    /// A file that is damaged is replaced: what it held cannot be known.
    ///
    /// # Errors
    /// When it is older than that, or cannot be written: then that one stays.
    pub fn put(&self, domain: &TrustDomain, bundle: &Bundle) -> Result<bool, StoreError> {
        let one_at_a_time = self.writing.lock();
        let _one_at_a_time = one_at_a_time.unwrap_or_else(PoisonError::into_inner);
        let path = self.path(domain);
        let kept = match self.get(domain) {
            Err(StoreError::Damaged { .. }) => None,
            kept => kept?,
        };
        if let Some(kept) = &kept {
            if let (Some(found), Some(kept)) = (bundle.sequence, kept.sequence)
                && found < kept
            {
                let domain = domain.as_str().into();
                return Err(StoreError::Older {
                    domain,
                    found,
                    kept,
                    path,
                });
            }
            if kept == bundle {
                return Ok(false);
            }
        }
        let text = written(domain, bundle).map_err(failed("write", &path))?;
        tidelock_durable::write(&path, &text, MODE).map_err(failed("write", &path))?;
        Ok(true)
    }

    /// The name of a trust domain holds no `/`, but may be `..`, or longer than a file's may be.
    fn path(&self, domain: &TrustDomain) -> PathBuf {
        let name = domain.as_str();
        let name = match name.get(..MAX_NAME) {
            Some(start) => format!("{start}-{:x}", Sha256::digest(name)),
            None => name.into(),
        };
        self.dir.join(format!("of-{name}{SUFFIX}"))
    }
}

fn written(domain: &TrustDomain, bundle: &Bundle) -> io::Result<Vec<u8>> {
    let kept = Kept {
        version: Version::One,
        trust_domain: domain.as_str().into(),
        sequence: bundle.sequence,
        refresh_hint: bundle.refresh_hint.map(|hint| hint.as_secs()),
        authorities: bundle
            .authorities
            .iter()
            .map(|der| STANDARD.encode(der))
            .collect(),
    };
    Ok(serde_json::to_vec_pretty(&kept)?)
}

fn read(bytes: &[u8], domain: &TrustDomain) -> Result<Bundle, String> {
    if bytes.len() > MAX_BUNDLE {
        return Err("it is too long".into());
    }
    let kept: Kept = serde_json::from_slice(bytes).map_err(|error| told(&error.to_string()))?;
    if kept.trust_domain != domain.as_str() {
        return Err(format!("it is the bundle of {}", told(&kept.trust_domain)));
    }
    let authorities = kept.authorities.iter().map(|text| authority(text));
    Ok(Bundle {
        sequence: kept.sequence,
        refresh_hint: kept.refresh_hint.map(Duration::from_secs),
        authorities: authorities
            .collect::<Result<_, _>>()
            .map_err(|reason| format!("an authority {reason}"))?,
    })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File {
        action,
        path,
        source,
    }
}
