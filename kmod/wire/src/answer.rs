// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the module says to user space.

use crate::{
    Ask, DecodeError, EncodeError, Hello, Message, SelfTestReport, Sign, Status,
    codec::{Reader, Writer},
    frame::sealed::Payload,
};

const HELLO: u8 = 0x81;
const SELF_TEST_REPORT: u8 = 0x82;
const REFUSED: u8 = 0x83;
const STATUS: u8 = 0x84;
const DONE: u8 = 0x85;
const ASK: u8 = 0x90;
const SIGN: u8 = 0x91;

/// Frames out of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// The first frame after open: who is there.
    Hello(Hello),
    /// To [`crate::Request::SelfTest`].
    SelfTest(SelfTestReport),
    /// A well-formed request that this module does not carry out.
    Refused(Refusal),
    /// To [`crate::Request::Configure`] and [`crate::Request::Status`].
    Status(Status),
    /// To [`crate::Request::Bundle`] and [`crate::Request::Revoke`]: it is in force.
    Done,
    /// Nobody asked for it: a connection waits for a verdict.
    Ask(Ask<'a>),
    /// Nobody asked for it: a key waits for its certificate.
    Sign(Sign<'a>),
}

/// Why a request was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// This build of the module has no such function.
    Unsupported,
    /// There is no room for more of it: trust domains, or revocations.
    Limit,
    /// A certificate in it cannot be read.
    Certificate,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Unsupported, Self::Limit, Self::Certificate];

    /// The number in frames.
    pub const fn number(self) -> u32 {
        match self {
            Self::Unsupported => 1,
            Self::Limit => 2,
            Self::Certificate => 3,
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = from.u32()?;
        let found = Self::ALL
            .into_iter()
            .find(|refusal| refusal.number() == number);
        found.ok_or(DecodeError::Value {
            field: "the refusal's reason",
            value: number.into(),
        })
    }
}

impl<'a> Message<'a> for Answer<'a> {}

impl<'a> Payload<'a> for Answer<'a> {
    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => HELLO,
            Self::SelfTest(_) => SELF_TEST_REPORT,
            Self::Refused(_) => REFUSED,
            Self::Status(_) => STATUS,
            Self::Done => DONE,
            Self::Ask(_) => ASK,
            Self::Sign(_) => SIGN,
        }
    }

    fn len(&self) -> u32 {
        match self {
            Self::Hello(_) => Hello::LEN,
            Self::SelfTest(_) => SelfTestReport::LEN,
            Self::Refused(_) => 4,
            Self::Status(_) => Status::LEN,
            Self::Done => 0,
            Self::Ask(ask) => ask.len(),
            Self::Sign(sign) => sign.len(),
        }
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Hello(hello) => hello.write(out),
            Self::SelfTest(report) => report.write(out),
            Self::Refused(refusal) => out.u32(refusal.number()),
            Self::Status(status) => status.write(out),
            Self::Done => Ok(()),
            Self::Ask(ask) => ask.write(out),
            Self::Sign(sign) => sign.write(out),
        }
    }

    fn read(kind: u8, from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match kind {
            HELLO => Hello::read(from).map(Self::Hello),
            SELF_TEST_REPORT => SelfTestReport::read(from).map(Self::SelfTest),
            REFUSED => Refusal::read(from).map(Self::Refused),
            STATUS => Status::read(from).map(Self::Status),
            DONE => Ok(Self::Done),
            ASK => Ask::read(from).map(Self::Ask),
            SIGN => Sign::read(from).map(Self::Sign),
            _ => Err(DecodeError::Kind { kind }),
        }
    }
}
