// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a download can end, each with its verdict and its cure.

use std::fmt;

use tidelock_host::files::FileError;
use tidelock_model::Sha256;

use crate::address::Address;

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
        "{address} has vanished from the archive (HTTP {status}). What is locked but gone is shown by `cargo xtask kernels diff`; `cargo xtask kernels lock` takes what the archive offers now"
    )]
    Vanished {
        /// Where it was asked for.
        address: Address,
        /// 404 or 410.
        status: u16,
    },
    /// It came whole, and is not what was promised.
    #[error("{address}: the {} is not what was promised: expected {expected}, got {got}. Try another mirror with --debian-mirror; if that one agrees, the archive changed: `cargo xtask kernels lock`", kind.as_str())]
    Tampered {
        /// What the file is.
        kind: Kind,
        /// Where it was asked for.
        address: Address,
        /// The promised digest or size.
        expected: String,
        /// What came.
        got: String,
    },
    /// It never came whole, however often it was tried.
    #[error("{address}: gave up after {attempts} attempts: {reason}")]
    Transfer {
        /// Where it was asked for.
        address: Address,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: String,
    },
    /// The server does not give it out.
    #[error("{address}: refused with HTTP {status}")]
    Refused {
        /// Where it was asked for.
        address: Address,
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
    #[error("{0}")]
    File(FileError),
}

impl From<FileError> for FetchError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
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

    /// The worse of what two mirrors of the same archive said. That a file has vanished is known
    /// only when nobody says otherwise; of one that is not what was promised, everybody should.
    pub(crate) fn worse(self, other: Self) -> Self {
        let rank = |error: &Self| match error {
            Self::Tampered { .. } => 0,
            Self::Vanished { .. } => 2,
            _ => 1,
        };
        if rank(&other) < rank(&self) {
            other
        } else {
            self
        }
    }

    pub(crate) fn wrong_digest(
        kind: Kind,
        address: &Address,
        expected: &Sha256,
        got: &Sha256,
    ) -> Self {
        Self::Tampered {
            kind,
            address: address.clone(),
            expected: format!("SHA-256 {expected}"),
            got: got.to_string(),
        }
    }

    pub(crate) fn wrong_size(kind: Kind, address: &Address, expected: u64, got: u64) -> Self {
        Self::Tampered {
            kind,
            address: address.clone(),
            expected: format!("{expected} bytes"),
            got: format!("{got} or more"),
        }
    }
}

/// Some of the files asked for could not be had; the others were fetched and are in the store.
#[derive(Debug)]
pub struct FetchErrors(pub Vec<FetchError>);

impl FetchErrors {
    /// The verdict of the worst.
    pub fn verdict(&self) -> &'static str {
        self.worst_first()
            .first()
            .map_or("transfer-failed", |error| error.verdict())
    }

    /// First what is not what was promised, for somebody may be at work there; then what is gone,
    /// for no patience brings it back.
    fn worst_first(&self) -> Vec<&FetchError> {
        let mut errors: Vec<_> = self.0.iter().collect();
        errors.sort_by_key(|error| match error {
            FetchError::Tampered { .. } => 0,
            FetchError::Vanished { .. } => 1,
            _ => 2,
        });
        errors
    }
}

/// Each with its verdict, the worst first.
impl fmt::Display for FetchErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.worst_first().into_iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: {error}", error.verdict())?;
        }
        Ok(())
    }
}

impl std::error::Error for FetchErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    fn each() -> Vec<FetchError> {
        let address = Address::new("http://127.0.0.1:9/debian", "pool/a.deb");
        let tampered = |kind| FetchError::wrong_size(kind, &address, 1, 2);
        vec![
            FetchError::Vanished {
                address: address.clone(),
                status: 404,
            },
            tampered(Kind::Package),
            tampered(Kind::Index),
            FetchError::Transfer {
                address: address.clone(),
                attempts: 6,
                reason: "HTTP 503".into(),
            },
            FetchError::Refused {
                address,
                status: 403,
            },
            FetchError::Offline {
                what: "pool/a.deb of debian".into(),
                command: "cargo xtask matrix".into(),
            },
            FetchError::NoMirror {
                archive: "debian".into(),
            },
            FetchError::Client("no certificates".into()),
            FetchError::File(FileError {
                action: "read",
                path: "/store/a".into(),
                source: std::io::ErrorKind::NotFound.into(),
            }),
        ]
    }

    #[test]
    fn the_first_word_is_the_verdict_and_no_mirror_is_named() {
        let mut seen = std::collections::BTreeSet::new();
        for error in each() {
            let verdict = error.verdict();
            assert!(seen.insert(verdict), "{verdict} twice");
            let text = FetchErrors(vec![error]).to_string();
            assert!(text.starts_with(&format!("{verdict}: ")), "{text}");
            assert!(!text.contains("127.0.0.1"), "{text}");
        }
    }

    #[test]
    fn what_is_not_what_was_promised_outranks_what_is_gone_and_that_the_rest() {
        let mut errors = FetchErrors(each());
        assert_eq!(errors.verdict(), "tampered-package");
        errors.0.reverse();
        assert_eq!(errors.verdict(), "tampered-index");
        errors
            .0
            .retain(|e| !matches!(e, FetchError::Tampered { .. }));
        assert_eq!(errors.verdict(), "vanished-file");
        let text = errors.to_string();
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.starts_with("vanished-file: pool/a.deb"), "{text}");
    }

    #[test]
    fn vanished_is_what_all_mirrors_say() {
        let get = |verdict| each().into_iter().find(|e| e.verdict() == verdict).unwrap();
        for (one, other, worse) in [
            ("vanished-file", "vanished-file", "vanished-file"),
            ("vanished-file", "transfer-failed", "transfer-failed"),
            ("transfer-failed", "vanished-file", "transfer-failed"),
            ("refused-download", "transfer-failed", "refused-download"),
            ("transfer-failed", "tampered-package", "tampered-package"),
            ("tampered-package", "vanished-file", "tampered-package"),
        ] {
            assert_eq!(get(one).worse(get(other)).verdict(), worse, "{one} {other}");
        }
    }
}
