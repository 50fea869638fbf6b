// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a test did not pass. The first word of each message is a named verdict.

use std::io;

/// What ends a test before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The kernel or the module answered, but not what it should.
    #[error("assertion-failed: {0}")]
    Assertion(String),
    /// A system call that must work did not.
    #[error("system-call-failed: {what}: {source}")]
    System {
        /// The call and its object.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The module cannot be unloaded, or something else still holds on to it.
    #[error("leaked-reference: {0}")]
    LeakedReference(String),
    /// Memory that was not given back.
    #[error("leaked-memory: {0}")]
    LeakedMemory(String),
    /// What a check must see is not there: it can tell nothing, neither way.
    #[error("broken-check: {0}")]
    BrokenCheck(String),
    /// The kernel is tainted by more than an out-of-tree, unsigned module.
    #[error("new-taint: {0}")]
    NewTaint(String),
    /// A program of the userland did not do its work.
    #[error("program-failed: {0}")]
    Program(String),
    /// The process of the test died before its verdict.
    #[error("test-died: {0}")]
    Died(String),
    /// The process of the test had no verdict within its limit.
    #[error("test-timeout: {0}")]
    Timeout(String),
    /// No test has the name asked for.
    #[error("unknown-test: {0}")]
    UnknownTest(String),
}

/// What a step of a test comes to.
pub(crate) type Checked<T> = Result<T, Failure>;

impl Failure {
    /// For `map_err`: names the call that failed and its object.
    pub(crate) fn system<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::System {
            what,
            source: source.into(),
        }
    }
}

/// Fails with `message` unless `holds`.
pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Checked<()> {
    if holds {
        Ok(())
    } else {
        Err(Failure::Assertion(message()))
    }
}
