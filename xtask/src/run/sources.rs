// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the checkout says, and where packages come from: the start of most commands.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use tidelock_archive::{Arrival, Fetcher, FileRef, Mirrors, Mode, Progress, Store};
use tidelock_host::files;
use tidelock_matrix::{Lock, Matrix, MatrixError, PlanError};
use tidelock_model::{Release, Sha256, Tier};
use tidelock_report::{DownloadProgress, Live};

use crate::{cli::options::SourceOptions, exit::UsageError};

/// The support policy and what was locked of it.
#[derive(Debug)]
pub(crate) struct Plans {
    /// `matrix.toml`.
    pub(crate) matrix: Matrix,
    /// `matrix.lock`.
    pub(crate) lock: Lock,
    /// The digest of `matrix.lock`.
    pub(crate) lock_sha256: Sha256,
}

impl Plans {
    /// Reads both files of a checkout.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = lock_path(root);
        let lock_sha256 = Sha256::of(&files::read(&path).context(
            "without a lock there is nothing to run; `cargo xtask kernels lock` makes one",
        )?);
        let lock = tidelock_matrix::read_lock(&path).map_err(usage)?;
        Ok(Self {
            matrix: matrix(root)?,
            lock,
            lock_sha256,
        })
    }

    /// The kernels of a tier that the archive lists and does not serve.
    pub(crate) fn missing(&self, tier: Tier) -> Result<Vec<Release>> {
        let missing = tidelock_matrix::missing(&self.matrix, &self.lock, Some(tier), &[])
            .map_err(unplannable)?;
        Ok(missing.into_iter().map(|kernel| kernel.release).collect())
    }
}

/// Reads `matrix.toml`.
pub(crate) fn matrix(root: &Path) -> Result<Matrix> {
    tidelock_matrix::read_matrix(&root.join("matrix.toml")).map_err(usage)
}

/// Where the lock is.
pub(crate) fn lock_path(root: &Path) -> PathBuf {
    root.join("matrix.lock")
}

/// An error in a file of the user's is the user's to mend.
pub(crate) fn usage(error: MatrixError) -> anyhow::Error {
    match error {
        MatrixError::Spec(error) => UsageError(error.to_string()).into(),
        other => other.into(),
    }
}

/// A plan that cannot be made is the user's to mend.
#[expect(clippy::needless_pass_by_value, reason = "goes into map_err as it is")]
pub(crate) fn unplannable(error: PlanError) -> anyhow::Error {
    UsageError(error.to_string()).into()
}

/// What gets packages: from the mirrors given, or apt's own.
pub(crate) fn fetcher(options: &SourceOptions) -> Result<Fetcher> {
    let security = options.debian_security_mirror.as_deref();
    let (mirrors, mode) = match (&options.debian_mirror, options.offline) {
        (_, true) => (Mirrors::none(), Mode::Offline),
        (Some(url), false) => (Mirrors::from_urls(url, security)?, Mode::Online),
        (None, false) => (
            Mirrors::from_apt().context("give the mirror with --debian-mirror URL")?,
            Mode::Online,
        ),
    };
    Ok(Fetcher::new(Store::open()?, mirrors, mode)?)
}

/// Shows a fetch, called `label`, on what shows the run.
pub(crate) fn shown(live: &Arc<Live>, label: impl Into<String>) -> Arc<dyn Progress> {
    Arc::new(Shown(DownloadProgress::new(Arc::clone(live), label)))
}

/// What is shown knows nothing of archives, and archives know nothing of what is shown.
struct Shown(DownloadProgress);

impl Progress for Shown {
    fn expect(&self, files: usize, bytes: u64) {
        self.0.expect(files, bytes);
    }

    fn advance(&self, bytes: i64) {
        self.0.advance(bytes);
    }

    fn downloading(&self, _: &FileRef) {
        self.0.downloading();
    }

    fn arrived(&self, file: &FileRef, how: Arrival) {
        self.0.arrived(match how {
            Arrival::Downloaded => file.size,
            Arrival::Cached => 0,
        });
    }

    fn retrying(&self, url: &str, reason: &str) {
        self.0.retrying(url, reason);
    }
}
