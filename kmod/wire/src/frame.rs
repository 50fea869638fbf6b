// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Header and payload together.

use crate::{
    DecodeError, EncodeError,
    codec::{Reader, Writer},
};

/// The first two bytes of every frame: "TD".
pub const MAGIC: u16 = u16::from_le_bytes(*b"TD");

/// The version of the header and of the payloads' layout.
pub const WIRE_VERSION: u8 = 2;

/// Bytes in front of the payload.
pub const HEADER_LEN: usize = 16;

/// The longest frame, header included: room for the longest list and what goes with it.
pub const MAX_FRAME: usize = 16 * 1024;

/// The longest answer to a request, header included. What comes unasked can be longer.
pub const MAX_ANSWER: usize = 256;

/// What one direction may say. Implemented by [`crate::Request`] and [`crate::Answer`] only.
pub trait Message<'a>: Sized + sealed::Payload<'a> {}

pub(crate) mod sealed {
    use super::{DecodeError, EncodeError, Reader, Writer};

    /// The payload's codec.
    pub trait Payload<'a>: Sized {
        /// The number in the header.
        fn kind(&self) -> u8;
        /// How many bytes [`Self::write`] writes.
        fn len(&self) -> u32;
        /// Appends the payload.
        fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError>;
        /// Reads the payload of frame `kind`.
        fn read(kind: u8, from: &mut Reader<'a>) -> Result<Self, DecodeError>;
    }
}

/// A message and the number that ties an answer to its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<M> {
    /// Chosen by who asks; 0 where nobody asked.
    pub id: u64,
    /// What is said.
    pub message: M,
}

impl<'a, M: Message<'a>> Frame<M> {
    /// How many bytes [`Self::encode`] writes, where it does not fail: [`MAX_FRAME`] at most.
    pub fn encoded_len(&self) -> usize {
        let payload = usize::try_from(self.message.len()).unwrap_or(MAX_FRAME);
        HEADER_LEN.saturating_add(payload).min(MAX_FRAME)
    }

    /// Writes the frame to the start of `out` and returns its length.
    ///
    /// # Errors
    /// When `out` is too short, for which [`Self::encoded_len`] suffices, or when a field holds
    /// what [`Self::decode`] would refuse.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut writer = Writer::new(out);
        writer.u16(MAGIC)?;
        writer.u8(WIRE_VERSION)?;
        writer.u8(self.message.kind())?;
        writer.u32(self.message.len())?;
        writer.u64(self.id)?;
        self.message.write(&mut writer)?;
        Ok(writer.finish())
    }

    /// Reads the one frame that `bytes` holds, no less and no more.
    ///
    /// # Errors
    /// When it holds anything else.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let len = bytes.len();
        if len > MAX_FRAME {
            return Err(DecodeError::TooLong { len });
        }
        let (header, payload) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(DecodeError::Truncated { len })?;
        let [m0, m1, version, kind, l0, l1, l2, l3, id @ ..] = *header;
        let magic = u16::from_le_bytes([m0, m1]);
        if magic != MAGIC {
            return Err(DecodeError::Magic { magic });
        }
        if version != WIRE_VERSION {
            return Err(DecodeError::Version { version });
        }
        let declared = u32::from_le_bytes([l0, l1, l2, l3]);
        if usize::try_from(declared) != Ok(payload.len()) {
            return Err(DecodeError::Length {
                declared,
                actual: payload.len(),
            });
        }
        let mut reader = Reader::new(kind, payload);
        let message = M::read(kind, &mut reader)?;
        reader.finish()?;
        Ok(Self {
            id: u64::from_le_bytes(id),
            message,
        })
    }
}
