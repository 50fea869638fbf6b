// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Whatever the peer sends, nothing panics and nobody is taken for somebody else.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::{SessionState, selftest::shake_hands};

fn fresh() -> Pair {
    let authority = authority();
    let (client, server) = (issue(&authority, CLIENT), issue(&authority, SERVER));
    pair::<Now, Now>(&authority, &client, &server).unwrap()
}

/// Whether the octet at `at` of a flight is one that nobody authenticates: it names a version in
/// the header of a record, which "MUST be ignored for all purposes" (RFC 8446, section 5.1), or the
/// outer type of an encrypted one. That octet is part of the additional data (section 5.2), but
/// rustls authenticates what it must be, 23, and not what came; what it was changed to makes no
/// difference to what is read, or is not the type of any record and refused.
fn is_ignored(flight: &[u8], at: usize) -> bool {
    const APPLICATION_DATA: u8 = 23;
    let mut start = 0;
    while let Some(&[outer, _, _, high, low]) = flight.get(start..start + 5) {
        if at < start + 5 {
            return match at.checked_sub(start) {
                Some(0) => outer == APPLICATION_DATA,
                Some(within) => within < 3,
                None => false,
            };
        }
        start += 5 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}

/// A handshake, of whose flight `number` (hello, server's, client's) one bit was changed on the
/// way; none where nobody is to look at that bit.
fn damage_flight(number: usize, at: prop::sample::Index, bit: u8) -> Option<Pair> {
    let mut pair = fresh();
    for flight in 0..3 {
        let Pair { client, server } = &mut pair;
        let (from, to) = if flight % 2 == 0 {
            (client, server)
        } else {
            (server, client)
        };
        let mut bytes = from.take_output();
        if flight == number && !bytes.is_empty() {
            let at = at.index(bytes.len());
            if is_ignored(&bytes, at) {
                return None;
            }
            bytes[at] ^= 1 << bit;
        }
        let _ = to.receive(&bytes);
    }
    Some(pair)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_changed_bit_never_leads_to_two_open_ends(
        number in 0..3_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let damaged = damage_flight(number, at, bit);
        prop_assume!(damaged.is_some());
        let Some(pair) = damaged else { unreachable!() };
        let open = |state| state == SessionState::Open;
        prop_assert!(!(open(pair.client.state()) && open(pair.server.state())));
    }

    #[test]
    fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let Pair { mut client, mut server } = fresh();
        let _ = server.receive(&noise);
        let _ = client.receive(&noise);
        prop_assert_ne!(server.state(), SessionState::Open);
        prop_assert_ne!(client.state(), SessionState::Open);
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut(size in 1..200_usize) {
        let Pair { mut client, mut server } = fresh();
        for flight in 0..3 {
            let (from, to) = if flight % 2 == 0 {
                (&mut client, &mut server)
            } else {
                (&mut server, &mut client)
            };
            for piece in from.take_output().chunks(size) {
                to.receive(piece).unwrap();
            }
        }
        prop_assert_eq!(client.state(), SessionState::Open);
        prop_assert_eq!(server.state(), SessionState::Open);
    }
}

#[test]
fn damaged_data_ends_the_session() {
    let mut pair = fresh();
    shake_hands(&mut pair).unwrap();
    pair.client.send(b"the same bytes").unwrap();
    let mut sent: Vec<u8> = pair.client.take_output();
    let last = sent.len() - 1;
    sent[last] ^= 1;
    assert!(pair.server.receive(&sent).is_err());
    assert_eq!(pair.server.state(), SessionState::Failed);
    assert!(pair.server.take_data().is_empty());
}
