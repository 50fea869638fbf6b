// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a download can end, each with its verdict and its cure.

use std::fmt;

use tidelock_host::files::FileError;
use tidelock_model::Sha256;

/// What a file is, for the verdict when it is not what was promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An index, promised by a signed release.
    Index,
    /// A package, promised by an index or by the lock.
    Package,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Package => "package",
        }
    }
}

/// A file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not at its address any more.
    #[error(
        "{url} has vanished from the archive (HTTP {status}). What is locked but gone is shown by `cargo xtask kernels diff`; `cargo xtask kernels lock` takes what the archive offers now"
    )]
    Vanished {
        /// The address.
        url: String,
        /// 404 or 410.
        status: u16,
    },
    /// It came whole, and is not what was promised.
    #[error("{url}: the {} is not what was promised: expected {expected}, got {got}. Try another mirror with --debian-mirror; if that one agrees, the archive changed: `cargo xtask kernels lock`", kind.as_str())]
    Tampered {
        /// What the file is.
        kind: Kind,
        /// The address.
        url: String,
        /// The promised digest or size.
        expected: String,
        /// What came.
        got: String,
    },
    /// It never came whole, however often it was tried.
    #[error("{url}: gave up after {attempts} attempts: {reason}")]
    Transfer {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: String,
    },
    /// The server does not give it out.
    #[error("{url}: refused with HTTP {status}")]
    Refused {
        /// The address.
        url: String,
        /// The server's answer.
        status: u16,
    },
    /// It is not in the cache, and nothing may be fetched.
    #[error(
        "{what} is not in the cache, and --offline forbids to fetch it. Fetch it with: {command}"
    )]
    Offline {
        /// What is missing.
        what: String,
        /// What would bring it.
        command: String,
    },
    /// Nobody said who serves the archive.
    #[error("no mirror of the archive {archive:?} is known; name one with --debian-mirror URL")]
    NoMirror {
        /// The archive's name.
        archive: String,
    },
    /// The client could not be set up (certificates, proxy).
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
    /// The cache cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl FetchError {
    /// The stable name of the verdict.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::Vanished { .. } => "vanished-file",
            Self::Tampered {
                kind: Kind::Package,
                ..
            } => "tampered-package",
            Self::Tampered {
                kind: Kind::Index, ..
            } => "tampered-index",
            Self::Transfer { .. } => "transfer-failed",
            Self::Refused { .. } => "refused-download",
            Self::Offline { .. } => "not-in-cache",
            Self::NoMirror { .. } => "no-mirror",
            Self::Client(_) => "no-http-client",
            Self::File(_) => "file-error",
        }
    }

    pub(crate) fn wrong_digest(kind: Kind, url: &str, expected: &Sha256, got: &Sha256) -> Self {
        Self::Tampered {
            kind,
            url: url.into(),
            expected: format!("SHA-256 {expected}"),
            got: got.to_string(),
        }
    }

    pub(crate) fn wrong_size(kind: Kind, url: &str, expected: u64, got: u64) -> Self {
        Self::Tampered {
            kind,
            url: url.into(),
            expected: format!("{expected} bytes"),
            got: format!("{got} or more"),
        }
    }
}

/// Some of the files asked for could not be had; the others were fetched and are in the store.
#[derive(Debug)]
pub struct FetchErrors(pub Vec<FetchError>);

impl FetchErrors {
    /// The verdict of the first.
    pub fn verdict(&self) -> &'static str {
        self.0
            .first()
            .map_or("transfer-failed", FetchError::verdict)
    }
}

impl fmt::Display for FetchErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FetchErrors {}
