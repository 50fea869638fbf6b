// SPDX-License-Identifier: GPL-2.0-only OR MIT
extern crate std;

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn hello() -> impl Strategy<Value = Hello> {
    let version = any::<(u16, u16, u16)>().prop_map(|(major, minor, patch)| Version {
        major,
        minor,
        patch,
    });
    let engine = prop_oneof![Just(EngineState::Ready), Just(EngineState::Dead)];
    (any::<(u32, u32, u64, u64)>(), version, engine).prop_map(
        |((abi, flags, panics, frames_refused), module, engine)| Hello {
            abi,
            module,
            capabilities: Capabilities::from_bits_retain(flags),
            engine,
            panics,
            frames_refused,
        },
    )
}

fn report() -> impl Strategy<Value = SelfTestReport> {
    let passed = any::<(u16, u16, u32, u32, u32)>().prop_map(
        |(cipher_suite, group, rounds, handshake_bytes, data_bytes)| {
            SelfTestOutcome::Passed(Passed {
                cipher_suite,
                group,
                rounds,
                handshake_bytes,
                data_bytes,
            })
        },
    );
    let failed = prop::sample::select(&SelfTestStep::ALL).prop_map(SelfTestOutcome::Failed);
    (prop_oneof![passed, failed], any::<(u32, u32)>()).prop_map(|(outcome, (size, high_water))| {
        SelfTestReport {
            outcome,
            stack: StackUse { size, high_water },
        }
    })
}

fn answer() -> impl Strategy<Value = Frame<Answer>> {
    let message = prop_oneof![
        hello().prop_map(Answer::Hello),
        report().prop_map(Answer::SelfTest),
        Just(Answer::Refused(Refusal::Unsupported)),
    ];
    (any::<u64>(), message).prop_map(|(id, message)| Frame { id, message })
}

fn request() -> impl Strategy<Value = Frame<Request>> {
    let message = prop_oneof![Just(Request::SelfTest), Just(Request::Fault)];
    (any::<u64>(), message).prop_map(|(id, message)| Frame { id, message })
}

fn encoded<M: Message>(frame: &Frame<M>) -> Vec<u8> {
    let mut buffer = [0xa5; MAX_FRAME];
    let len = frame.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// Mostly a true header, so that the payload's decoder is reached too.
fn near_frame() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        Just(0x01),
        Just(0x7f),
        Just(0x81),
        Just(0x82),
        Just(0x83),
        any::<u8>()
    ];
    (
        kind,
        any::<u64>(),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(kind, id, payload)| {
            let mut bytes = Vec::from(MAGIC.to_le_bytes());
            bytes.extend([WIRE_VERSION, kind]);
            bytes.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
            bytes.extend(id.to_le_bytes());
            bytes.extend(payload);
            bytes
        })
}

/// A true answer with one byte changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (answer(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(frame, at, byte)| {
        let mut bytes = encoded(&frame);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    })
}

proptest! {
    #[test]
    fn answers_round_trip(frame in answer()) {
        prop_assert_eq!(Frame::<Answer>::decode(&encoded(&frame)), Ok(frame));
    }

    #[test]
    fn requests_round_trip(frame in request()) {
        prop_assert_eq!(Frame::<Request>::decode(&encoded(&frame)), Ok(frame));
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        bytes in prop_oneof![near_frame(), damaged(), prop::collection::vec(any::<u8>(), 0..MAX_FRAME + 2)],
    ) {
        if let Ok(frame) = Frame::<Answer>::decode(&bytes) {
            prop_assert_eq!(encoded(&frame), bytes.clone());
        }
        if let Ok(frame) = Frame::<Request>::decode(&bytes) {
            prop_assert_eq!(encoded(&frame), bytes);
        }
    }

    #[test]
    fn a_truncated_or_longer_frame_is_refused(frame in answer(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encoded(&frame);
        let cut = cut.index(bytes.len());
        prop_assert!(Frame::<Answer>::decode(&bytes[..cut]).is_err());
        bytes.push(0);
        prop_assert!(Frame::<Answer>::decode(&bytes).is_err());
    }

    #[test]
    fn a_short_buffer_is_an_error(frame in answer(), cut in any::<prop::sample::Index>()) {
        let len = encoded(&frame).len();
        let mut buffer = [0; MAX_FRAME];
        let capacity = cut.index(len);
        prop_assert_eq!(frame.encode(&mut buffer[..capacity]), Err(EncodeError { capacity }));
    }
}

#[test]
fn the_bytes_are_these() {
    let request = Frame {
        id: 0x0102_0304_0506_0708,
        message: Request::SelfTest,
    };
    assert_eq!(
        encoded(&request),
        [b'T', b'D', 1, 1, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]
    );
    let hello = Frame {
        id: 0,
        message: Answer::Hello(Hello {
            abi: 1,
            module: Version {
                major: 2,
                minor: 3,
                patch: 4,
            },
            capabilities: Capabilities::KTLS | Capabilities::IPV6,
            engine: EngineState::Dead,
            panics: 5,
            frames_refused: 6,
        }),
    };
    let mut expected = std::vec![b'T', b'D', 1, 0x81, 34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([1, 0, 0, 0, 2, 0, 3, 0, 4, 0, 0x21, 0, 0, 0, 2, 0, 0, 0]);
    expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encoded(&hello), expected);
}

#[test]
fn each_fault_has_its_name() {
    let good = encoded(&Frame {
        id: 7,
        message: Request::SelfTest,
    });
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Frame::<Request>::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0), DecodeError::Magic { magic: 0x4400 });
    assert_eq!(with(2, 2), DecodeError::Version { version: 2 });
    assert_eq!(with(3, 0x81), DecodeError::Kind { kind: 0x81 });
    let declared = DecodeError::Length {
        declared: 9,
        actual: 0,
    };
    assert_eq!(with(4, 9), declared);
    let decode = |bytes: &[u8]| Frame::<Request>::decode(bytes).unwrap_err();
    assert_eq!(decode(&good[..15]), DecodeError::Truncated { len: 15 });
    assert_eq!(
        decode(&[0; MAX_FRAME + 1]),
        DecodeError::TooLong { len: MAX_FRAME + 1 }
    );
    let mut longer = good;
    longer[4] = 1;
    longer.push(0);
    assert_eq!(decode(&longer), DecodeError::Payload { kind: 1 });
}
