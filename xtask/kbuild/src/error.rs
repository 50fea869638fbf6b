// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong before there is a module to look at.

use std::path::PathBuf;

use tidelock_archive::deb::DebError;
use tidelock_host::{files::FileError, process::ProcessError};
use tidelock_model::Sha256;

use crate::log::BuildFailure;

/// A stage did not come to its result.
#[derive(Debug, thiserror::Error)]
pub enum KbuildError {
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// A host program.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A package that cannot be unpacked.
    #[error(transparent)]
    Package(#[from] DebError),
    /// A package in the store is not the one that was locked.
    #[error(
        "tampered-package: {} has the digest {found}, the lock says {locked} for {name}; remove the file and fetch again",
        path.display()
    )]
    Tampered {
        /// The package's name.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What the lock says.
        locked: Sha256,
        /// What the file is.
        found: Sha256,
    },
    /// The packages of a root or of a kernel's headers do not make up a whole one.
    #[error("incomplete-packages: {what} is in none of {}; lock the package that has it", packages.join(", "))]
    Incomplete {
        /// The path that is missing.
        what: String,
        /// The packages that were unpacked.
        packages: Vec<String>,
    },
    /// Nothing can be run in a build root on this host.
    #[error(
        "no-sandbox: bubblewrap cannot set up the build root here: {said}\n\
         Cure: run as root (in a container: with CAP_SYS_ADMIN and a seccomp profile that lets it unshare), \
         or allow user namespaces:\n  \
         sudo sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000\n  \
         sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0   (where AppArmor restricts them)"
    )]
    Sandbox {
        /// What bubblewrap wrote.
        said: String,
    },
    /// The toolchain or the host failed, not the code that was compiled.
    #[error("broken-toolchain: {what}; the whole log: {}", log.display())]
    Toolchain {
        /// What gave it away.
        what: String,
        /// The log of the stage.
        log: PathBuf,
    },
    /// The build failed, and nothing in its log says that the code is why.
    #[error("build-failed: {what}, and the log does not say why; the whole log: {}", log.display())]
    Unexplained {
        /// How it ended.
        what: String,
        /// The log of the stage.
        log: PathBuf,
    },
    /// The module's sources cannot be what they should be.
    #[error("malformed-sources: {what}")]
    Sources {
        /// What is wrong, and with which file.
        what: String,
    },
    /// The module does not build for this kernel.
    #[error("{failure}; the whole log: {}", log.display())]
    Build {
        /// Its named verdict, and the line that tells it.
        failure: BuildFailure,
        /// The log of the stage.
        log: PathBuf,
    },
}

impl KbuildError {
    /// The stable name of the verdict.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::File(_) => "file-error",
            Self::Process(ProcessError::Cancelled) => "cancelled",
            Self::Process(_) => "process-error",
            Self::Package(error) => error.verdict(),
            Self::Tampered { .. } => "tampered-package",
            Self::Incomplete { .. } => "incomplete-packages",
            Self::Sandbox { .. } => "no-sandbox",
            Self::Toolchain { .. } => "broken-toolchain",
            Self::Unexplained { .. } => "build-failed",
            Self::Sources { .. } => "malformed-sources",
            Self::Build { failure, .. } => failure.verdict(),
        }
    }

    /// Whether the factory failed, not the module: the difference of ERROR and FAIL.
    pub const fn is_infrastructure(&self) -> bool {
        !matches!(self, Self::Build { .. } | Self::Sources { .. })
    }
}
