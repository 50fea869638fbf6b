// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the core's self-test found.

use crate::{
    DecodeError, EncodeError,
    codec::{Reader, Writer},
};

/// The steps of the self-test, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SelfTestStep {
    /// Keys and certificates are made.
    Certificates = 1,
    /// Client and server shake hands.
    Handshake = 2,
    /// Each side names the other by its SPIFFE ID.
    Identity = 3,
    /// Data goes both ways.
    Data = 4,
    /// A server that another authority certified is refused.
    ForeignServer = 5,
    /// A client that another authority certified is refused.
    ForeignClient = 6,
    /// A server of the right authority with another SPIFFE ID than expected is refused.
    WrongIdentity = 7,
}

impl SelfTestStep {
    /// Every step, in order.
    pub const ALL: [Self; 7] = [
        Self::Certificates,
        Self::Handshake,
        Self::Identity,
        Self::Data,
        Self::ForeignServer,
        Self::ForeignClient,
        Self::WrongIdentity,
    ];
}

/// What a passed self-test measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// The cipher suite's number in the TLS registry.
    pub cipher_suite: u16,
    /// The key exchange group's number in the TLS registry.
    pub group: u16,
    /// Flights until both sides were done.
    pub rounds: u32,
    /// Bytes of all flights.
    pub handshake_bytes: u32,
    /// Bytes of application data that arrived, both ways together.
    pub data_bytes: u32,
}

/// How the self-test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelfTestOutcome {
    /// Every step did what it should.
    Passed(Passed),
    /// This step did not.
    Failed(SelfTestStep),
}

/// How much of the core's private stack was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StackUse {
    /// Its size in bytes; 0 where nobody measured.
    pub size: u32,
    /// The most that was ever used of it.
    pub high_water: u32,
}

/// The answer to a self-test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SelfTestReport {
    /// How it ended.
    pub outcome: SelfTestOutcome,
    /// What it cost in stack, measured from outside.
    pub stack: StackUse,
}

impl SelfTestReport {
    pub(crate) const LEN: u32 = 25;

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let nothing = Passed {
            cipher_suite: 0,
            group: 0,
            rounds: 0,
            handshake_bytes: 0,
            data_bytes: 0,
        };
        let (step, passed) = match self.outcome {
            SelfTestOutcome::Passed(passed) => (0, passed),
            SelfTestOutcome::Failed(step) => (step as u8, nothing),
        };
        out.u8(step)?;
        out.u16(passed.cipher_suite)?;
        out.u16(passed.group)?;
        out.u32(passed.rounds)?;
        out.u32(passed.handshake_bytes)?;
        out.u32(passed.data_bytes)?;
        out.u32(self.stack.size)?;
        out.u32(self.stack.high_water)
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let step = from.u8()?;
        let passed = Passed {
            cipher_suite: from.u16()?,
            group: from.u16()?,
            rounds: from.u32()?,
            handshake_bytes: from.u32()?,
            data_bytes: from.u32()?,
        };
        let stack = StackUse {
            size: from.u32()?,
            high_water: from.u32()?,
        };
        Ok(Self {
            outcome: outcome(step, passed)?,
            stack,
        })
    }
}

fn outcome(step: u8, passed: Passed) -> Result<SelfTestOutcome, DecodeError> {
    if step == 0 {
        return Ok(SelfTestOutcome::Passed(passed));
    }
    let measured = [
        passed.cipher_suite.into(),
        passed.group.into(),
        passed.rounds,
        passed.handshake_bytes,
        passed.data_bytes,
    ];
    if let Some(value) = measured.into_iter().find(|value| *value != 0) {
        return Err(DecodeError::Value {
            field: "a measure of a failed self-test",
            value: value.into(),
        });
    }
    SelfTestStep::ALL
        .into_iter()
        .find(|candidate| *candidate as u8 == step)
        .map(SelfTestOutcome::Failed)
        .ok_or(DecodeError::Value {
            field: "the self-test's step",
            value: step.into(),
        })
}
