// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames that the module must refuse.

use tidelock_wire::{Frame, HEADER_LEN, MAX_FRAME, Request};

use crate::{
    device::encode,
    failure::{Checked, Failure},
    prng::Prng,
};

/// Fixed, so that a failure can be repeated.
const SEED: u64 = 0x7469_6465_6c6f_636b;
const RANDOM: usize = 200;

/// Bytes to write, and what is wrong with them.
pub(super) struct Bad {
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
}

fn bad(what: impl Into<String>, bytes: Vec<u8>) -> Bad {
    Bad {
        what: what.into(),
        bytes,
    }
}

/// Of a good length, with something else wrong. EPROTO.
pub(super) fn garbage() -> Checked<Vec<Bad>> {
    let good = encode(1, Request::SelfTest)?;
    let mut frames = vec![
        bad("all zero", vec![0; HEADER_LEN]),
        bad("all ones", vec![0xff; HEADER_LEN]),
        bad("a maximal frame of zeros", vec![0; MAX_FRAME]),
        bad("an answer", answer(&good)),
    ];
    // Each byte of magic, version and length, one bit at a time.
    for index in (0..3).chain(4..8) {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[index] ^= 1 << bit;
            frames.push(bad(format!("bit {bit} of byte {index} flipped"), bytes));
        }
    }
    // Each kind that is no request.
    for kind in 0..=u8::MAX {
        let mut bytes = good.clone();
        bytes[3] = kind;
        if Frame::<Request<'_>>::decode(&bytes).is_err() {
            frames.push(bad(format!("kind {kind:#04x}"), bytes));
        }
    }
    // A payload, well declared, where there should be none.
    for length in [1usize, 2, 8, 100, MAX_FRAME - HEADER_LEN] {
        frames.push(bad(
            format!("{length} bytes of payload too many"),
            with_payload(&good, length)?,
        ));
    }
    frames.extend(noise());
    Ok(frames)
}

fn answer(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    bytes[3] |= 0x80;
    bytes
}

fn with_payload(good: &[u8], length: usize) -> Checked<Vec<u8>> {
    let declared = u32::try_from(length)
        .map_err(|_| Failure::Assertion(format!("{length} bytes of payload cannot be declared")))?;
    let mut bytes = good.to_vec();
    bytes[4..8].copy_from_slice(&declared.to_le_bytes());
    bytes.resize(HEADER_LEN + length, 0xa5);
    Ok(bytes)
}

/// Random bytes, which might by chance be a frame: those are left out.
fn noise() -> impl Iterator<Item = Bad> {
    let mut prng = Prng::new(SEED);
    let draw = move |number| {
        let length = 1 + prng.below(MAX_FRAME);
        bad(format!("noise {number}"), prng.bytes(length))
    };
    (0..RANDOM)
        .map(draw)
        .filter(|frame| Frame::<Request<'_>>::decode(&frame.bytes).is_err())
}

/// Longer than any frame, whatever they say. EMSGSIZE.
pub(super) fn oversized() -> Checked<Vec<Bad>> {
    let good = encode(1, Request::SelfTest)?;
    let mut prng = Prng::new(SEED ^ 1);
    let mut lengths = vec![
        MAX_FRAME + 1,
        MAX_FRAME + 2,
        32_768,
        65_536,
        65_537,
        1 << 20,
    ];
    lengths.extend((0..50).map(|_| MAX_FRAME + 1 + prng.below(1 << 18)));
    let mut frames = Vec::new();
    for length in lengths {
        frames.push(bad(format!("{length} random bytes"), prng.bytes(length)));
        frames.push(bad(
            format!("a frame that declares its {length} bytes"),
            with_payload(&good, length - HEADER_LEN)?,
        ));
        let mut bytes = good.clone();
        bytes.resize(length, 0);
        frames.push(bad(
            format!("a good frame with zeros up to {length} bytes"),
            bytes,
        ));
    }
    Ok(frames)
}

/// Shorter than they should be, down to nothing. EPROTO.
pub(super) fn truncated() -> Checked<Vec<Bad>> {
    let good = encode(1, Request::SelfTest)?;
    let mut frames: Vec<Bad> = (1..HEADER_LEN)
        .map(|length| {
            bad(
                format!("the first {length} bytes of a frame"),
                good[..length].to_vec(),
            )
        })
        .collect();
    let mut prng = Prng::new(SEED ^ 2);
    for _ in 0..RANDOM {
        let declared = 1 + prng.below(MAX_FRAME - HEADER_LEN);
        let mut bytes = with_payload(&good, declared)?;
        bytes.truncate(HEADER_LEN + prng.below(declared));
        frames.push(bad(
            format!(
                "{declared} bytes of payload declared, {} sent",
                bytes.len() - HEADER_LEN
            ),
            bytes,
        ));
    }
    for declared in [u32::MAX, 1 << 31, 0x1_0000, 4096] {
        let mut bytes = good.clone();
        bytes[4..8].copy_from_slice(&declared.to_le_bytes());
        frames.push(bad(
            format!("{declared} bytes of payload declared, none sent"),
            bytes,
        ));
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use tidelock_wire::DecodeError;

    use super::*;

    #[test]
    fn all_are_refused_by_the_codec_for_the_reason_they_are_made_for() {
        for frame in garbage().unwrap() {
            let error = Frame::<Request<'_>>::decode(&frame.bytes).unwrap_err();
            assert!(
                !matches!(error, DecodeError::TooLong { .. }),
                "{}: {error}",
                frame.what
            );
        }
        for frame in oversized().unwrap() {
            let error = Frame::<Request<'_>>::decode(&frame.bytes).unwrap_err();
            assert!(
                matches!(error, DecodeError::TooLong { .. }),
                "{}: {error}",
                frame.what
            );
        }
        for frame in truncated().unwrap() {
            let error = Frame::<Request<'_>>::decode(&frame.bytes).unwrap_err();
            let short = matches!(
                error,
                DecodeError::Truncated { .. } | DecodeError::Length { .. }
            );
            assert!(short, "{}: {error}", frame.what);
        }
    }

    #[test]
    fn there_are_many_and_always_the_same() {
        let count = |frames: Checked<Vec<Bad>>| frames.unwrap().len();
        assert!(count(garbage()) > 450);
        assert!(count(oversized()) > 150);
        assert!(count(truncated()) > 200);
        let bytes = |frame: Bad| frame.bytes;
        let all = || {
            garbage()
                .unwrap()
                .into_iter()
                .map(bytes)
                .collect::<Vec<_>>()
        };
        assert_eq!(all(), all());
    }
}
