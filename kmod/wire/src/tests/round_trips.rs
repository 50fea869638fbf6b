// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What holds for every message and every sequence of bytes.

use std::vec::Vec;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    super::*,
    encoded,
    strategies::{answer, any_frame, damaged, near_frame, request},
};

proptest! {
    #[test]
    fn answers_round_trip(frame in answer()) {
        let bytes = encoded(&frame);
        prop_assert_eq!(Frame::<Answer<'_>>::decode(&bytes), Ok(frame));
    }

    #[test]
    fn requests_round_trip(frame in request()) {
        let bytes = encoded(&frame);
        prop_assert_eq!(Frame::<Request<'_>>::decode(&bytes), Ok(frame));
    }

    #[test]
    fn what_one_direction_says_the_other_does_not(bytes in any_frame()) {
        let (answer, request) = (Frame::<Answer<'_>>::decode(&bytes), Frame::<Request<'_>>::decode(&bytes));
        prop_assert!(answer.is_ok() != request.is_ok());
        let kind = bytes[3];
        let other = answer.err().or(request.err());
        prop_assert_eq!(other, Some(DecodeError::Kind { kind }));
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        bytes in prop_oneof![near_frame(), damaged(), vec(any::<u8>(), 0..400)],
    ) {
        if let Ok(frame) = Frame::<Answer<'_>>::decode(&bytes) {
            prop_assert_eq!(encoded(&frame), bytes.clone());
        }
        if let Ok(frame) = Frame::<Request<'_>>::decode(&bytes) {
            prop_assert_eq!(encoded(&frame), bytes);
        }
    }

    #[test]
    fn a_truncated_or_longer_frame_is_refused(bytes in any_frame(), cut in any::<Index>()) {
        let cut = cut.index(bytes.len());
        let declared = |mut bytes: Vec<u8>| {
            if let Some(payload) = bytes.len().checked_sub(HEADER_LEN) {
                bytes[4..8].copy_from_slice(&u32::try_from(payload).unwrap().to_le_bytes());
            }
            bytes
        };
        let longer = [bytes.as_slice(), &[0]].concat();
        // Also where the header says the length that the rest has.
        for wrong in [bytes[..cut].to_vec(), declared(bytes[..cut].to_vec()), longer.clone(), declared(longer)] {
            prop_assert!(Frame::<Answer<'_>>::decode(&wrong).is_err());
            prop_assert!(Frame::<Request<'_>>::decode(&wrong).is_err());
        }
    }

    #[test]
    fn a_short_buffer_is_an_error(answer in answer(), request in request(), cut in any::<Index>()) {
        let mut buffer = [0; MAX_FRAME];
        prop_assert_eq!(answer.encoded_len(), encoded(&answer).len());
        prop_assert_eq!(request.encoded_len(), encoded(&request).len());
        let capacity = cut.index(encoded(&answer).len());
        let error = Err(EncodeError::Capacity { capacity });
        prop_assert_eq!(answer.encode(&mut buffer[..capacity]), error);
        let capacity = cut.index(encoded(&request).len());
        let error = Err(EncodeError::Capacity { capacity });
        prop_assert_eq!(request.encode(&mut buffer[..capacity]), error);
    }

    #[test]
    fn the_header_says_how_long_the_payload_is(bytes in any_frame()) {
        let declared = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
        prop_assert_eq!(usize::try_from(declared).unwrap(), bytes.len() - HEADER_LEN);
    }
}
