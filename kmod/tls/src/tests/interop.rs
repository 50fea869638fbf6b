// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Our provider against another: ring's, under the same rustls.

use std::{sync::Arc, vec};

use rustls::crypto::{CryptoProvider, ring};

use super::*;
use crate::{
    SecretKey,
    config::{accept_by, connect_by},
    provider::{self, provider},
    selftest::{carry, shake_hands},
};

/// `provider` cut down to one cipher suite and one group.
fn only(provider: &CryptoProvider, suite: u16, group: u16) -> Arc<CryptoProvider> {
    let mut cut = provider.clone();
    cut.cipher_suites
        .retain(|candidate| u16::from(candidate.suite()) == suite);
    cut.kx_groups
        .retain(|candidate| u16::from(candidate.name()) == group);
    assert_eq!((cut.cipher_suites.len(), cut.kx_groups.len()), (1, 1));
    Arc::new(cut)
}

/// A client and a server, each over its own provider.
fn pair_by(
    authority: &Authority,
    client: (Arc<CryptoProvider>, &Identity),
    server: (Arc<CryptoProvider>, &Identity),
) -> Pair {
    let (trust, everybody) = (authority.trust().unwrap(), authority.everybody());
    let client = connect_by::<Now>(client.0, client.1, Arc::clone(&trust), everybody.clone());
    let server = accept_by::<Now>(server.0, server.1, trust, everybody);
    Pair {
        client: client.unwrap(),
        server: server.unwrap(),
    }
}

#[test]
fn every_suite_and_group_agrees_with_the_other_implementation_both_ways() {
    let authority = authority();
    let (client, server) = (issue(&authority, CLIENT), issue(&authority, SERVER));
    let (ours, theirs) = (provider::<Now>(), ring::default_provider());
    for suite in [0x1301, 0x1302, 0x1303] {
        for group in [29, 23] {
            for (at_client, at_server) in [(&*ours, &theirs), (&theirs, &*ours)] {
                let mut pair = pair_by(
                    &authority,
                    (only(at_client, suite, group), &client),
                    (only(at_server, suite, group), &server),
                );
                shake_hands(&mut pair).unwrap();
                let negotiated = pair.client.negotiated().unwrap();
                assert_eq!((negotiated.cipher_suite, negotiated.group), (suite, group));
                let (to, from) = (pair.client.as_mut(), pair.server.as_mut());
                assert_eq!(carry::<Now>(to, from), Ok(Some(20_000)));
                assert_eq!(carry::<Now>(from, to), Ok(Some(20_000)));
            }
        }
    }
}

#[test]
fn signatures_are_judged_alike() {
    use rustls::sign::{Signer as _, SigningKey as _};

    let theirs = ring::default_provider().signature_verification_algorithms;
    let theirs = theirs
        .all
        .iter()
        .find(|algorithm| {
            algorithm.signature_alg_id() == provider::ALGORITHMS.all[0].signature_alg_id()
                && algorithm.public_key_alg_id() == provider::ALGORITHMS.all[0].public_key_alg_id()
        })
        .unwrap();
    let key = SecretKey::generate::<Now>().unwrap();
    let spki = key.public_key().unwrap();
    let point = &spki[spki.len() - 65..];
    let message = b"signed";
    let good = key.sign(message).unwrap();
    let mut judged = vec![(true, message.to_vec(), good.clone())];
    judged.push((false, b"other".to_vec(), good.clone()));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        judged.push((false, message.to_vec(), bad));
    }
    judged.push((false, message.to_vec(), vec![]));
    for (valid, message, signature) in judged {
        for algorithm in [provider::ALGORITHMS.all[0], *theirs] {
            let result = algorithm.verify_signature(point, &message, &signature);
            assert_eq!(result.is_ok(), valid, "{algorithm:?} {signature:?}");
        }
    }
}

#[test]
fn a_peer_without_a_common_suite_or_group_is_refused() {
    let authority = authority();
    let (client, server) = (issue(&authority, CLIENT), issue(&authority, SERVER));
    let ours = provider::<Now>();
    for (suite, group) in [(0x1303, 29), (0x1301, 23)] {
        let mut pair = pair_by(
            &authority,
            (only(&ours, 0x1301, 29), &client),
            (only(&ours, suite, group), &server),
        );
        assert!(shake_hands(&mut pair).is_err());
    }
}

/// Points a peer must not get away with.
#[test]
fn a_bad_key_share_is_refused() {
    for group in &provider::<Now>().kx_groups {
        let bad: &[&[u8]] = match u16::from(group.name()) {
            // All zeros and one: points of small order.
            29 => &[&[], &[1; 31], &[0; 32], &{
                let mut one = [0; 32];
                one[0] = 1;
                one
            }],
            // The point at infinity; off the curve; too short.
            _ => &[&[], &[0], &[4; 65], &[2; 33], &[4; 64]],
        };
        for share in bad {
            let exchange = group.start().unwrap();
            assert!(exchange.complete(share).is_err(), "{group:?} {share:?}");
        }
    }
}
