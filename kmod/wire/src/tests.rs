// SPDX-License-Identifier: GPL-2.0-only OR MIT
use std::vec::Vec;

use super::*;

mod bytes;
mod faults;
mod fields;
mod round_trips;
mod samples;
mod seeds;
mod strategies;

fn encoded<'a, M: Message<'a>>(frame: &Frame<M>) -> Vec<u8> {
    let mut buffer = [0xa5; MAX_FRAME];
    let len = frame.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// `payload` as a frame of this kind, well declared.
fn framed(kind: u8, id: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(MAGIC.to_le_bytes());
    bytes.extend([WIRE_VERSION, kind]);
    bytes.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes.extend(id.to_le_bytes());
    bytes.extend(payload);
    bytes
}
