// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Exit codes, as documented in `docs/report.md` and `--help`.

use std::process::ExitCode;

use tidelock_model::Status;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Everything asked for was done, and everything tested passed.
    Passed = 0,
    /// Something tested failed.
    Failed = 1,
    /// The command, `matrix.toml` or `matrix.lock` asks for what cannot be (clap's own code).
    Usage = 2,
    /// The factory could not tell: network, disk, QEMU, a missing host program.
    Infrastructure = 3,
    /// Ctrl-C, or a request to terminate: 128 + SIGINT.
    Interrupted = 130,
}

/// Marks an error as the user's to mend: exit code 2 in place of 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Marks an error as the end of an interrupted run.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; what is done is kept, and the next run goes on from there")]
pub(crate) struct Interrupted;

impl Exit {
    /// The code for an error that ended a command.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error
            .chain()
            .any(<dyn std::error::Error + 'static>::is::<Interrupted>)
        {
            Self::Interrupted
        } else if error
            .chain()
            .any(<dyn std::error::Error + 'static>::is::<UsageError>)
        {
            Self::Usage
        } else {
            Self::Infrastructure
        }
    }

    /// The code for a run whose worst status is `status`. A run of which nothing ran is not a
    /// pass: a skip counts as one only beside something that ran.
    pub(crate) const fn of_status(status: Status) -> Self {
        match status {
            Status::Pass => Self::Passed,
            Status::Fail => Self::Failed,
            Status::Skip | Status::Error | Status::Miss => Self::Infrastructure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_cause_decides_the_code_however_deep_it_lies() {
        let deep = |error: anyhow::Error| Exit::of(&error.context("while").context("during"));
        assert_eq!(deep(UsageError("no".into()).into()), Exit::Usage);
        assert_eq!(deep(Interrupted.into()), Exit::Interrupted);
        assert_eq!(deep(anyhow::anyhow!("disk")), Exit::Infrastructure);
        let wrapped: anyhow::Result<()> = Err(UsageError("no".into())).context("reading");
        assert_eq!(Exit::of(&wrapped.unwrap_err()), Exit::Usage);
    }

    #[test]
    fn only_a_pass_exits_with_zero() {
        for status in [Status::Skip, Status::Fail, Status::Error, Status::Miss] {
            assert_ne!(Exit::of_status(status), Exit::Passed, "{status}");
        }
        assert_eq!(Exit::of_status(Status::Pass), Exit::Passed);
    }
}
