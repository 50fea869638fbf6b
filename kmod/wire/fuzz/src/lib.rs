// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What both targets need.

use std::fmt::Debug;

use tidelock_wire::{Frame, HEADER_LEN, MAGIC, MAX_FRAME, Message, WIRE_VERSION};

/// Whatever decodes encodes to the same bytes.
pub fn decode<'a, M: Message<'a> + Debug>(bytes: &'a [u8]) {
    let Ok(frame) = Frame::<M>::decode(bytes) else {
        return;
    };
    let mut out = [0; MAX_FRAME];
    let len = frame.encode(&mut out).expect("what decodes encodes");
    assert_eq!(&out[..len], bytes, "{frame:?} has two spellings");
}

/// The same bytes under a header that is true of them: most changes of a frame change its length,
/// and would be refused before its payload is looked at.
pub fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(payload) = bytes.len().checked_sub(HEADER_LEN) {
        bytes[..2].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[2] = WIRE_VERSION;
        bytes[4..8].copy_from_slice(&(payload as u32).to_le_bytes());
    }
    bytes
}
