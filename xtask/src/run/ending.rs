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
        Self {
            status: match errors.verdict() {
                "vanished-file" => Status::Miss,
                _ => Status::Error,
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

#[cfg(test)]
mod tests {
    use tidelock_archive::{Address, FetchError, Kind};

    use super::*;

    fn vanished() -> FetchError {
        FetchError::Vanished {
            address: Address::new("http://127.0.0.1:9/debian", "pool/a.deb"),
            status: 404,
        }
    }

    fn tampered() -> FetchError {
        FetchError::Tampered {
            kind: Kind::Package,
            address: Address::new("http://127.0.0.1:9/debian", "pool/b.deb"),
            expected: "1 bytes".into(),
            got: "2".into(),
        }
    }

    #[test]
    fn what_is_gone_is_missed_unless_something_was_tampered_with() {
        let refused = || FetchError::Client("no certificates".into());
        for (errors, status, verdict) in [
            (vec![vanished()], Status::Miss, "vanished-file: "),
            (vec![refused(), vanished()], Status::Miss, "vanished-file: "),
            (vec![refused()], Status::Error, "no-http-client: "),
            (
                vec![vanished(), tampered()],
                Status::Error,
                "tampered-package: ",
            ),
        ] {
            let ending = Ending::of_fetch(&FetchErrors(errors));
            assert_eq!(ending.status, status, "{ending:?}");
            assert!(ending.reason.starts_with(verdict), "{ending:?}");
            assert!(!ending.reason.contains("127.0.0.1"), "{ending:?}");
        }
    }

    #[test]
    fn a_build_that_nothing_explains_is_the_factorys_failure() {
        let log = std::path::PathBuf::from("/run/build.log");
        let unexplained = KbuildError::Unexplained {
            what: "it was killed by signal 9".into(),
            log,
        };
        let ending = Ending::of_build("compile", &unexplained);
        assert_eq!(ending.status, Status::Error);
        assert!(ending.reason.starts_with("build-failed: "), "{ending:?}");
    }
}
