// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verdicts kept by content key: an unchanged cell is not run again.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Serialize, de::DeserializeOwned};
use tidelock_host::files;
use tidelock_model::{CellReport, Sha256, Status};

/// A folder of results, each under the key of everything it depends on.
#[derive(Debug)]
pub(crate) struct Results {
    dir: PathBuf,
}

impl Results {
    /// The results in the user's cache.
    pub(crate) fn of_user() -> Result<Self> {
        Ok(Self {
            dir: files::cache_dir()?.join("results"),
        })
    }

    /// What was kept under `key`. A file that cannot be read back is as good as none: the
    /// cell is run again and the file written anew.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &Sha256) -> Option<T> {
        let text = files::read(&self.path(key)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps `value` under `key`.
    pub(crate) fn put<T: Serialize>(&self, key: &Sha256, value: &T) -> Result<()> {
        Ok(files::write_atomic(
            &self.path(key),
            &serde_json::to_vec(value)?,
        )?)
    }

    fn path(&self, key: &Sha256) -> PathBuf {
        let hex = key.to_hex();
        self.dir.join(&hex[..2]).join(format!("{hex}.json"))
    }
}

/// Whether a cell's result says something of the kernel and the module, and so holds until
/// one of them changes. What the factory could not tell, it tries again.
pub(crate) fn lasts(report: &CellReport) -> bool {
    match report.status {
        Status::Pass | Status::Fail => true,
        Status::Skip | Status::Error | Status::Miss => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_got_and_what_is_broken_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let results = Results {
            dir: dir.path().into(),
        };
        let key = Sha256::of(b"key");
        assert_eq!(results.get::<u32>(&key), None);
        results.put(&key, &7_u32).unwrap();
        assert_eq!(results.get::<u32>(&key), Some(7));
        assert_eq!(results.get::<u32>(&Sha256::of(b"other")), None);
        files::write_atomic(&results.path(&key), b"{half").unwrap();
        assert_eq!(results.get::<u32>(&key), None);
    }
}
