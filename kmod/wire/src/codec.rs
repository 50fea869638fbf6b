// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Bounded reading and writing of little-endian integers.

use core::ops::RangeInclusive;

use crate::{DecodeError, EncodeError};

/// Takes a payload apart, front to back.
pub struct Reader<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(kind: u8, payload: &'a [u8]) -> Self {
        Self {
            kind,
            rest: payload,
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Payload { kind: self.kind })?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Payload { kind: self.kind })?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes with their length in front of them, in 16 bits.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.bytes(len.into())
    }

    /// What is still to be read.
    pub(crate) const fn mark(&self) -> &'a [u8] {
        self.rest
    }

    /// What was read since `mark` was taken.
    pub(crate) fn since(&self, mark: &'a [u8]) -> &'a [u8] {
        let read = mark.len().saturating_sub(self.rest.len());
        mark.get(..read).unwrap_or_default()
    }

    /// Nothing may be left over.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Payload { kind: self.kind })
    }
}

/// What a field may hold, the same for who reads and who writes.
pub(crate) struct Rule {
    /// The field, for errors.
    pub(crate) field: &'static str,
    /// What it may hold.
    pub(crate) range: RangeInclusive<u32>,
}

impl Rule {
    pub(crate) fn read(&self, from: &mut Reader<'_>) -> Result<u32, DecodeError> {
        let value = from.u32()?;
        if self.range.contains(&value) {
            return Ok(value);
        }
        Err(DecodeError::Value {
            field: self.field,
            value: value.into(),
        })
    }

    pub(crate) fn write(&self, value: u32, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.range.contains(&value) {
            return out.u32(value);
        }
        Err(EncodeError::Value {
            field: self.field,
            value: value.into(),
        })
    }
}

/// Puts a frame together, front to back.
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let capacity = self.out.len();
        let end = self.len.saturating_add(bytes.len());
        self.out
            .get_mut(self.len..end)
            .ok_or(EncodeError::Capacity { capacity })?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(crate) fn u8(&mut self, value: u8) -> Result<(), EncodeError> {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> Result<(), EncodeError> {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> Result<(), EncodeError> {
        self.bytes(&value.to_le_bytes())
    }

    /// Bytes with their length in front of them, in 16 bits.
    pub(crate) fn counted(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::Value {
            field: "the length of a part",
            value: bytes.len() as u64,
        })?;
        self.u16(len)?;
        self.bytes(bytes)
    }

    /// How much has been written.
    pub(crate) fn finish(self) -> usize {
        self.len
    }
}
