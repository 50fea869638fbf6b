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
    #[error("file-error: {0}")]
    File(FileError),
    /// A host program.
    #[error("{}: {}", of_process(.0), .0)]
    Process(ProcessError),
    /// A package that cannot be unpacked.
    #[error("{}: {}", .0.verdict(), .0)]
    Package(DebError),
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
    /// What the cache holds is not what was put there.
    #[error("damaged-cache: {} is not what was made; remove the folder, and it is made again", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
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

// What these say begins with a command or a path, and the verdict must be the first word: they
// are told here, and are no causes that would be told twice.
impl From<FileError> for KbuildError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<ProcessError> for KbuildError {
    fn from(error: ProcessError) -> Self {
        Self::Process(error)
    }
}

impl From<DebError> for KbuildError {
    fn from(error: DebError) -> Self {
        Self::Package(error)
    }
}

const fn of_process(error: &ProcessError) -> &'static str {
    match error {
        ProcessError::Cancelled => "cancelled",
        ProcessError::Run { .. } | ProcessError::Failed { .. } => "process-error",
    }
}

impl KbuildError {
    /// The stable name of the verdict.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::File(_) => "file-error",
            Self::Process(error) => of_process(error),
            Self::Package(error) => error.verdict(),
            Self::Tampered { .. } => "tampered-package",
            Self::Damaged { .. } => "damaged-cache",
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

#[cfg(test)]
mod tests {
    use std::{io, os::unix::process::ExitStatusExt as _};

    use super::*;

    fn io() -> io::Error {
        io::ErrorKind::NotFound.into()
    }

    fn file() -> FileError {
        FileError {
            action: "read",
            path: "/cache/a".into(),
            source: io(),
        }
    }

    fn of_packages() -> [KbuildError; 4] {
        let path = PathBuf::from("/cache/a");
        [
            DebError::File(file()).into(),
            DebError::Malformed {
                deb: path.clone(),
                what: "it is damaged".into(),
            }
            .into(),
            DebError::Escapes {
                deb: path.clone(),
                entry: "../a".into(),
            }
            .into(),
            DebError::Entry {
                deb: path,
                entry: "a".into(),
                source: io(),
            }
            .into(),
        ]
    }

    fn each() -> Vec<KbuildError> {
        let (path, sha256) = (PathBuf::from("/cache/a"), Sha256::of(b"a"));
        let (log, what) = (PathBuf::from("/run/build.log"), "it ended".to_owned());
        vec![
            file().into(),
            ProcessError::Cancelled.into(),
            ProcessError::Run {
                command: "bwrap".into(),
                source: io(),
            }
            .into(),
            ProcessError::Failed {
                command: "perl".into(),
                status: std::process::ExitStatus::from_raw(256),
                output: String::new(),
            }
            .into(),
            KbuildError::Tampered {
                name: "gcc-10".into(),
                path,
                locked: sha256,
                found: sha256,
            },
            KbuildError::Damaged {
                path: "/cache/a".into(),
            },
            KbuildError::Incomplete {
                what: "/usr/bin/sh".into(),
                packages: Vec::new(),
            },
            KbuildError::Sandbox { said: what.clone() },
            KbuildError::Toolchain {
                what: what.clone(),
                log: log.clone(),
            },
            KbuildError::Unexplained {
                what: what.clone(),
                log: log.clone(),
            },
            KbuildError::Sources { what: what.clone() },
            KbuildError::Build {
                failure: BuildFailure::CompileError(what),
                log,
            },
        ]
    }

    #[test]
    fn the_first_word_is_the_verdict() {
        for error in each().into_iter().chain(of_packages()) {
            let (text, verdict) = (error.to_string(), error.verdict());
            assert!(text.starts_with(&format!("{verdict}: ")), "{text}");
        }
    }

    #[test]
    fn the_module_is_to_blame_for_its_sources_and_its_build_alone() {
        let blamed: Vec<_> = each()
            .iter()
            .chain(&of_packages())
            .filter(|error| !error.is_infrastructure())
            .map(KbuildError::verdict)
            .collect();
        assert_eq!(blamed, ["malformed-sources", "compile-error"]);
    }
}
