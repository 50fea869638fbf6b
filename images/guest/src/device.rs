// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/dev/tidelock`, one frame at a time.

use std::time::Duration;

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, poll},
    fd::OwnedFd,
    fs::{Mode, OFlags, open},
    io::{Errno, read, write},
};
use tidelock_wire::{
    Answer, Frame, Hello, MAX_FRAME, Passed, Request, SelfTestOutcome, StackUse, Status,
};

use crate::failure::{Checked, Failure, ensure};

/// Made by the kernel (devtmpfs) when the module registers it.
pub(crate) const PATH: &str = "/dev/tidelock";

/// An open device.
pub(crate) struct Device(OwnedFd);

/// One frame that was read, which is an answer.
pub(crate) struct Said(Vec<u8>);

impl Said {
    /// The answer.
    pub(crate) fn frame(&self) -> Checked<Frame<Answer<'_>>> {
        Frame::decode(&self.0).map_err(|error| {
            Failure::Assertion(format!(
                "read {} bytes from {PATH} that are no answer: {error}",
                self.0.len()
            ))
        })
    }
}

/// Whether a read waits.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// Until there is a frame.
    Block,
    /// Never.
    Never,
}

impl Device {
    /// Opens it; the kernel's own answer when it refuses.
    pub(crate) fn try_open(wait: Wait) -> Result<Self, Errno> {
        let flags = match wait {
            Wait::Block => OFlags::RDWR,
            Wait::Never => OFlags::RDWR | OFlags::NONBLOCK,
        };
        open(PATH, flags | OFlags::CLOEXEC, Mode::empty()).map(Self)
    }

    /// Opens it.
    pub(crate) fn open() -> Checked<Self> {
        Self::try_open(Wait::Block).map_err(Failure::system(format!("open {PATH}")))
    }

    /// Opens it and reads who is there.
    pub(crate) fn greet() -> Checked<(Self, Hello)> {
        let device = Self::open()?;
        let hello = device.hello()?;
        Ok((device, hello))
    }

    /// Reads one frame's bytes; the kernel's own answer when there are none.
    pub(crate) fn try_read(&self) -> Result<Vec<u8>, Errno> {
        let mut buffer = Vec::with_capacity(MAX_FRAME);
        read(&self.0, spare_capacity(&mut buffer))?;
        Ok(buffer)
    }

    /// Writes one frame's bytes; the kernel's own answer when it refuses.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        write(&self.0, bytes)
    }

    /// Reads one whole answer.
    pub(crate) fn answer(&self) -> Checked<Said> {
        let bytes = self
            .try_read()
            .map_err(Failure::system(format!("read {PATH}")))?;
        let said = Said(bytes);
        said.frame()?;
        Ok(said)
    }

    /// Reads the first answer after open.
    pub(crate) fn hello(&self) -> Checked<Hello> {
        match self.answer()?.frame()?.message {
            Answer::Hello(hello) => Ok(hello),
            other => Err(Failure::Assertion(format!(
                "the first frame after open is {other:?}, not a hello"
            ))),
        }
    }

    /// Writes one request; the kernel's own answer when it refuses.
    #[expect(clippy::large_types_passed_by_value, reason = "few and far between")]
    pub(crate) fn try_ask(&self, id: u64, message: Request<'_>) -> Checked<Result<(), Errno>> {
        let bytes = encode(id, message)?;
        match self.try_write(&bytes) {
            Ok(length) if length == bytes.len() => Ok(Ok(())),
            Ok(length) => Err(Failure::Assertion(format!(
                "{PATH} took {length} of a frame's {} bytes",
                bytes.len()
            ))),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Writes one request and reads its answer.
    #[expect(clippy::large_types_passed_by_value, reason = "few and far between")]
    pub(crate) fn ask(&self, id: u64, message: Request<'_>) -> Checked<Said> {
        self.try_ask(id, message)?
            .map_err(Failure::system(format!("write {message:?} to {PATH}")))?;
        // Questions that wait are told to each new opener, and may come before the answer.
        let mut said = self.answer()?;
        while matches!(said.frame()?.message, Answer::Ask(_) | Answer::Sign(_)) {
            said = self.answer()?;
        }
        let answered = said.frame()?.id;
        ensure(answered == id, || {
            format!("the answer to frame {id} carries the id {answered}")
        })?;
        Ok(said)
    }

    /// What is in force, and how it goes.
    pub(crate) fn status(&self, id: u64) -> Checked<Status> {
        match self.ask(id, Request::Status)?.frame()?.message {
            Answer::Status(status) => Ok(status),
            other => Err(Failure::Assertion(format!(
                "a question for the status was answered with {other:?}"
            ))),
        }
    }

    /// Has the module test itself; fails unless the self-test passes.
    pub(crate) fn self_test(&self, id: u64) -> Checked<(Passed, StackUse)> {
        passed(&self.ask(id, Request::SelfTest)?.frame()?.message)
    }

    /// What can be done now, or within `patience`.
    pub(crate) fn ready(&self, wanted: PollFlags, patience: Duration) -> Checked<PollFlags> {
        let mut entry = [PollFd::new(&self.0, wanted)];
        let timeout = patience
            .try_into()
            .map_err(|_| Failure::Assertion("a wait too long for poll".into()))?;
        poll(&mut entry, Some(&timeout)).map_err(Failure::system(format!("poll {PATH}")))?;
        Ok(entry[0].revents())
    }
}

/// What a self-test says when it passed.
pub(crate) fn passed(answer: &Answer<'_>) -> Checked<(Passed, StackUse)> {
    let Answer::SelfTest(report) = answer else {
        return Err(Failure::Assertion(format!(
            "a self-test was answered with {answer:?}"
        )));
    };
    match report.outcome {
        SelfTestOutcome::Passed(passed) => Ok((passed, report.stack)),
        SelfTestOutcome::Failed(step) => Err(Failure::Assertion(format!(
            "the self-test failed at its step {step:?}"
        ))),
    }
}

/// The bytes of a request.
#[expect(clippy::large_types_passed_by_value, reason = "few and far between")]
pub(crate) fn encode(id: u64, message: Request<'_>) -> Checked<Vec<u8>> {
    let frame = Frame { id, message };
    let mut bytes = vec![0; frame.encoded_len()];
    frame
        .encode(&mut bytes)
        .map_err(|error| Failure::Assertion(format!("encoding {message:?}: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tidelock_wire::{SelfTestReport, SelfTestStep};

    use super::*;

    #[test]
    fn only_a_self_test_that_passed_is_a_pass() {
        let answer = |outcome| {
            Answer::SelfTest(SelfTestReport {
                outcome,
                stack: StackUse::default(),
            })
        };
        let bad = passed(&answer(SelfTestOutcome::Failed(SelfTestStep::Handshake)));
        assert_eq!(
            bad.unwrap_err().to_string(),
            "assertion-failed: the self-test failed at its step Handshake"
        );
        let other = passed(&Answer::Refused(tidelock_wire::Refusal::Unsupported));
        assert!(other.is_err());
    }
}
