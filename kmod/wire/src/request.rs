// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What user space says to the module.

use crate::{
    Bundle, DecodeError, EncodeError, Issued, Message, Revocation, Settings, Verdict,
    codec::{Reader, Writer},
    frame::sealed::Payload,
};

const SELF_TEST: u8 = 0x01;
const STATUS: u8 = 0x02;
const CONFIGURE: u8 = 0x03;
const VERDICT: u8 = 0x10;
const ISSUED: u8 = 0x11;
const BUNDLE: u8 = 0x12;
const REVOKE: u8 = 0x13;
const FAULT: u8 = 0x7f;

/// Frames into the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is no allocator here, and half a kilobyte of stack in the core is little"
)]
pub enum Request<'a> {
    /// Run a complete mutual handshake in memory and report.
    SelfTest,
    /// Say what is in force and how it goes.
    Status,
    /// Put this in force.
    Configure(Settings),
    /// The answer to an [`crate::Ask`], whose id the frame carries. Has no answer of its own.
    Verdict(Verdict<'a>),
    /// The answer to a [`crate::Sign`], whose id the frame carries. Has no answer of its own.
    Issued(Issued<'a>),
    /// Trust these authorities.
    Bundle(Bundle<'a>),
    /// Trust this no longer.
    Revoke(Revocation<'a>),
    /// Panic. Refused as [`crate::Refusal::Unsupported`] by every module but one that was
    /// built to test the panic policy.
    Fault,
}

impl<'a> Message<'a> for Request<'a> {}

impl<'a> Payload<'a> for Request<'a> {
    fn kind(&self) -> u8 {
        match self {
            Self::SelfTest => SELF_TEST,
            Self::Status => STATUS,
            Self::Configure(_) => CONFIGURE,
            Self::Verdict(_) => VERDICT,
            Self::Issued(_) => ISSUED,
            Self::Bundle(_) => BUNDLE,
            Self::Revoke(_) => REVOKE,
            Self::Fault => FAULT,
        }
    }

    fn len(&self) -> u32 {
        match self {
            Self::SelfTest | Self::Status | Self::Fault => 0,
            Self::Configure(settings) => settings.len(),
            Self::Verdict(verdict) => verdict.len(),
            Self::Issued(issued) => issued.len(),
            Self::Bundle(bundle) => bundle.len(),
            Self::Revoke(revocation) => revocation.len(),
        }
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::SelfTest | Self::Status | Self::Fault => Ok(()),
            Self::Configure(settings) => settings.write(out),
            Self::Verdict(verdict) => verdict.write(out),
            Self::Issued(issued) => issued.write(out),
            Self::Bundle(bundle) => bundle.write(out),
            Self::Revoke(revocation) => revocation.write(out),
        }
    }

    fn read(kind: u8, from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match kind {
            SELF_TEST => Ok(Self::SelfTest),
            STATUS => Ok(Self::Status),
            CONFIGURE => Settings::read(from).map(Self::Configure),
            VERDICT => Verdict::read(from).map(Self::Verdict),
            ISSUED => Issued::read(from).map(Self::Issued),
            BUNDLE => Bundle::read(from).map(Self::Bundle),
            REVOKE => Revocation::read(from).map(Self::Revoke),
            FAULT => Ok(Self::Fault),
            _ => Err(DecodeError::Kind { kind }),
        }
    }
}
