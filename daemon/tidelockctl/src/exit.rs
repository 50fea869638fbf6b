// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Exit codes, as documented in `--help` and `docs/daemon.md`.

use std::{io, process::ExitCode};

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done, and the answer is good.
    Good = 0,
    /// Done, and the answer is not: refused, failed, not healthy.
    Bad = 1,
    /// What was typed cannot be done (clap's own code).
    Usage = 2,
    /// There is no answer: no daemon, no permission, an error of the daemon.
    NoAnswer = 3,
}

/// Marks an error as the user's to mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl Exit {
    /// The code for an error that ended a command.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.chain().any(<dyn std::error::Error>::is::<UsageError>) {
            Self::Usage
        } else {
            Self::NoAnswer
        }
    }

    /// Good or bad.
    pub(crate) const fn good(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Whether who reads our output has read enough: no error of ours.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_cause_decides_the_code() {
        let usage: anyhow::Result<()> = Err(UsageError("no".into())).context("while");
        assert_eq!(Exit::of(&usage.unwrap_err()), Exit::Usage);
        assert_eq!(Exit::of(&anyhow::anyhow!("gone")), Exit::NoAnswer);
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&pipe.into()));
    }
}
