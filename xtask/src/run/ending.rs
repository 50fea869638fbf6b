// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a cell ends before its tests have spoken.

use tidelock_archive::FetchErrors;
use tidelock_kbuild::KbuildError;
use tidelock_model::Status;

/// The end of a cell that did not pass a stage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    /// FAIL where the module is at fault, ERROR where the factory is, MISS where something is
    /// no longer to be had.
    pub(crate) status: Status,
    /// The stage.
    pub(crate) stage: &'static str,
    /// The named verdict, a colon, and what happened.
    pub(crate) reason: String,
}

impl Ending {
    /// An end that the factory is to blame for.
    pub(crate) fn error(stage: &'static str, error: impl std::fmt::Display) -> Self {
        Self {
            status: Status::Error,
            stage,
            reason: format!("infrastructure: {error}"),
        }
    }

    /// An end that the module is to blame for.
    pub(crate) fn fail(stage: &'static str, reason: String) -> Self {
        Self {
            status: Status::Fail,
            stage,
            reason,
        }
    }

    /// The end of a cell whose packages did not come.
    pub(crate) fn of_fetch(errors: &FetchErrors) -> Self {
        let vanished = errors
            .0
            .iter()
            .any(|error| error.verdict() == "vanished-file");
        Self {
            status: if vanished {
                Status::Miss
            } else {
                Status::Error
            },
            stage: "fetch",
            reason: errors.to_string(),
        }
    }

    /// The end of a cell that did not build.
    pub(crate) fn of_build(stage: &'static str, error: &KbuildError) -> Self {
        let status = if error.is_infrastructure() {
            Status::Error
        } else {
            Status::Fail
        };
        Self {
            status,
            stage,
            reason: error.to_string(),
        }
    }
}
