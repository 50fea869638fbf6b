// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What user space says to the module.

use crate::{
    DecodeError, EncodeError, Message,
    codec::{Reader, Writer},
    frame::sealed::Payload,
};

const SELF_TEST: u8 = 0x01;
const FAULT: u8 = 0x7f;

/// Frames into the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Run a complete mutual handshake in memory and report.
    SelfTest,
    /// Panic. Refused as [`crate::Refusal::Unsupported`] by every module but one that was
    /// built to test the panic policy.
    Fault,
}

impl Message for Request {}

impl Payload for Request {
    fn kind(&self) -> u8 {
        match self {
            Self::SelfTest => SELF_TEST,
            Self::Fault => FAULT,
        }
    }

    fn len(&self) -> u32 {
        0
    }

    fn write(&self, _out: &mut Writer<'_>) -> Result<(), EncodeError> {
        Ok(())
    }

    fn read(kind: u8, _from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match kind {
            SELF_TEST => Ok(Self::SelfTest),
            FAULT => Ok(Self::Fault),
            _ => Err(DecodeError::Kind { kind }),
        }
    }
}
