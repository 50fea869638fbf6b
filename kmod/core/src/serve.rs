// SPDX-License-Identifier: GPL-2.0-only
//! Frames in, frames out; all of it safe code.

use tidelock_wire::{
    ABI_VERSION, Answer, Capabilities, DecodeError, EncodeError, EngineState, Frame, Hello,
    MAX_ANSWER, Refusal, Request, SelfTestReport, StackUse, Status, Version,
};

use crate::{
    facts::{AskFacts, HelloFacts, StatusFacts},
    order::Order,
    self_test,
};

/// Why a frame got no answer, as the shim returns it to `write(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Errno {
    /// `ENOSPC`: the buffer for the answer is too short.
    NoSpace,
    /// `EPROTO`: not a frame that user space may send.
    Protocol,
    /// `EMSGSIZE`: too long for a frame.
    MessageSize,
    /// `EINVAL`: what the shim says makes no sense.
    Invalid,
    /// `EBADMSG`: a certificate is not what was asked for.
    BadMessage,
    /// `EKEYREJECTED`: the peer is nobody whom we expect.
    Rejected,
}

impl Errno {
    /// The negative number that C expects; the same on every architecture but four that this
    /// module is not built for (alpha, mips, parisc, sparc).
    pub(crate) const fn to_negative(self) -> isize {
        match self {
            Self::Invalid => -22,
            Self::NoSpace => -28,
            Self::Protocol => -71,
            Self::BadMessage => -74,
            Self::MessageSize => -90,
            Self::Rejected => -129,
        }
    }
}

/// Writes the hello frame.
pub(crate) fn hello(facts: &HelloFacts, out: &mut [u8]) -> Result<usize, Errno> {
    let hello = Hello {
        abi: ABI_VERSION,
        module: MODULE_VERSION,
        capabilities: Capabilities::from_bits_retain(facts.capabilities),
        // A state the core does not know is not one in which it may be used.
        engine: EngineState::from_number(facts.engine_state).unwrap_or(EngineState::Dead),
        panics: facts.panics,
        frames_refused: facts.frames_refused,
    };
    send(0, Answer::Hello(hello), out)
}

/// The request in `input`.
pub(crate) fn request(input: &[u8]) -> Result<Frame<Request<'_>>, Errno> {
    Frame::decode(input).map_err(|error| match error {
        DecodeError::TooLong { .. } => Errno::MessageSize,
        _ => Errno::Protocol,
    })
}

/// Carries out the request in `input` and writes the answer; its length is 0 where the request
/// is for the shim, which is then told in `order`, or where nothing is to be done.
pub(crate) fn frame(input: &[u8], out: &mut [u8], order: &mut Order) -> Result<usize, Errno> {
    *order = Order::NONE;
    if out.len() < MAX_ANSWER {
        return Err(Errno::NoSpace);
    }
    let Frame { id, message } = request(input)?;
    let answer = match message {
        Request::SelfTest => Answer::SelfTest(self_test::run()),
        Request::Fault => fault(),
        Request::Status => {
            *order = Order::status(id);
            return Ok(0);
        }
        Request::Configure(settings) => {
            *order = Order::configure(id, &settings);
            return Ok(0);
        }
        Request::Verdict(verdict) => {
            *order = Order::verdict(id, &verdict);
            return Ok(0);
        }
        Request::Issued(issued) => {
            *order = Order::issued(id, &issued);
            return Ok(0);
        }
        Request::Bundle(_) | Request::Revoke(_) => {
            *order = Order::trust(id);
            return Ok(0);
        }
    };
    send(id, answer, out)
}

/// Writes the answer to an order for the status or the settings.
pub(crate) fn status(id: u64, facts: &StatusFacts, out: &mut [u8]) -> Result<usize, Errno> {
    let status: Status = facts.read().ok_or(Errno::Invalid)?;
    send(id, Answer::Status(status), out)
}

/// Writes the question for a verdict.
pub(crate) fn ask(id: u64, facts: &AskFacts<'_>, out: &mut [u8]) -> Result<usize, Errno> {
    let ask = facts.read().ok_or(Errno::Invalid)?;
    send(id, Answer::Ask(ask), out)
}

/// Puts the stack that was used into the self-test report in `frame`; other answers stay.
pub(crate) fn stamp(frame: &mut [u8], stack: StackUse) -> Result<(), Errno> {
    let decoded = Frame::<Answer<'_>>::decode(frame).map_err(|_| Errno::Protocol)?;
    if let Frame {
        id,
        message: Answer::SelfTest(report),
    } = decoded
    {
        let message = Answer::SelfTest(SelfTestReport { stack, ..report });
        send(id, message, frame)?;
    }
    Ok(())
}

pub(crate) fn send(id: u64, message: Answer<'_>, out: &mut [u8]) -> Result<usize, Errno> {
    Frame { id, message }
        .encode(out)
        .map_err(|error| match error {
            EncodeError::Capacity { .. } => Errno::NoSpace,
            EncodeError::Value { .. } | EncodeError::SpiffeId(_) => Errno::Invalid,
        })
}

#[cfg(feature = "fault-injection")]
fn fault() -> Answer<'static> {
    panic!("on purpose: a fault was asked for");
}

#[cfg(not(feature = "fault-injection"))]
fn fault() -> Answer<'static> {
    Answer::Refused(Refusal::Unsupported)
}

const MODULE_VERSION: Version = Version {
    major: number(env!("CARGO_PKG_VERSION_MAJOR")),
    minor: number(env!("CARGO_PKG_VERSION_MINOR")),
    patch: number(env!("CARGO_PKG_VERSION_PATCH")),
};

const fn number(text: &str) -> u16 {
    match u16::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a part of the package's version does not fit into 16 bits"),
    }
}
