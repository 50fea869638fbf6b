// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Who is trusted, what is void, and who may be at the other end.

use std::{format, string::String, sync::Arc, vec::Vec};

use rustls::{CertificateError, Error};

use super::*;
use crate::{
    Allowed, Expected, KeyDigest, MAX_DOMAINS, MAX_VOID, Peer, Pending, SecretKey, Trust, Void,
    authority::Profile, selftest::shake_hands,
};

fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

fn workload(text: &str) -> Allowed {
    Allowed::Workload(SpiffeId::parse(text).unwrap())
}

fn now() -> u64 {
    Now::unix_time()
}

/// Who somebody is and what that rests on; each is issued anew, and so ends a moment later.
fn rests(peer: &Peer) -> (&str, &[KeyDigest]) {
    (peer.id().as_str(), peer.authorities())
}

/// Who the client finds, when it trusts `trust` and expects `expected`; the server takes everybody.
fn found(
    authority: &Authority,
    trust: &Arc<Trust>,
    expected: Expected,
) -> Result<Peer, CertificateError> {
    let (client, server) = (issue(authority, CLIENT), issue(authority, SERVER));
    let home = authority.trust().unwrap();
    let mut pair = Pair {
        client: connect::<Now>(&client, Arc::clone(trust), expected).unwrap(),
        server: accept::<Now>(&server, home, authority.everybody()).unwrap(),
    };
    match shake_hands(&mut pair) {
        Ok(_) => Ok(pair.client.peer().unwrap().clone()),
        Err(TlsError::Session(Error::InvalidCertificate(error))) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn any_of_those_who_are_expected_will_do_and_nobody_else() {
    let authority = authority();
    let trust = authority.trust().unwrap();
    let of = |allowed: Vec<Allowed>| found(&authority, &trust, Expected::any_of(allowed));
    let refused = Err(CertificateError::NotValidForName);
    let peer = of([workload(SERVER)].into()).unwrap();
    assert_eq!(peer.id().as_str(), SERVER);
    assert_eq!(peer.authorities().len(), 1, "the root has signed it");
    assert!((now()..now() + 3601).contains(&peer.until()));
    let domain_of = |name| Allowed::Domain(domain(name));
    for expected in [
        [workload("spiffe://example.org/other"), workload(SERVER)].into(),
        [domain_of("example.com"), domain_of("example.org")].into(),
    ] {
        assert_eq!(rests(&of(expected).unwrap()).0, SERVER);
    }
    for expected in [
        Vec::new(),
        [workload(CLIENT)].into(),
        [workload("spiffe://example.org/server2")].into(),
        [domain_of("example.com")].into(),
    ] {
        assert_eq!(of(expected), refused);
    }
}

#[test]
fn a_domain_is_trusted_by_its_own_authorities_until_they_are_withdrawn() {
    let (home, abroad) = (authority(), authority());
    let everybody = || home.everybody();
    let trust = home.trust().unwrap();
    let peer = found(&home, &trust, everybody()).unwrap();
    assert!(trust.stands(&peer, now()));

    // Nobody, and the authority of the same name under another domain, are nobody's for ours.
    let der = home.certificate();
    let elsewhere = Trust::nobody().with_bundle(domain("example.com"), [der]);
    for trust in [Trust::nobody(), elsewhere.unwrap()] {
        assert!(!trust.stands(&peer, now()));
        let refused = found(&home, &Arc::new(trust), everybody());
        assert_eq!(refused, Err(CertificateError::UnknownIssuer));
    }
    // Two authorities while one takes the other's place, in either order.
    let (old, new) = (home.certificate(), abroad.certificate());
    for both in [[old, new], [new, old]] {
        let trust = Trust::nobody().with_bundle(domain("example.org"), both);
        let trust = Arc::new(trust.unwrap());
        assert!(trust.stands(&peer, now()));
        let again = found(&home, &trust, everybody()).unwrap();
        assert_eq!(rests(&again), rests(&peer));
    }
    // A bundle takes the place of the one before.
    let replaced = trust.with_bundle(domain("example.org"), [new]).unwrap();
    assert!(!replaced.stands(&peer, now()));
    let withdrawn = trust.with_bundle(domain("example.org"), []).unwrap();
    assert!(!withdrawn.stands(&peer, now()));
    assert!(trust.stands(&peer, now()), "what was is not changed");
    let other = trust.with_bundle(domain("example.com"), []).unwrap();
    assert!(other.stands(&peer, now()));
    assert!(
        trust
            .with_bundle(domain("example.org"), [b"none".as_slice()])
            .is_err()
    );
}

#[test]
fn what_is_void_is_refused_and_stands_no_longer() {
    let authority = authority();
    let trust = authority.trust().unwrap();
    let everybody = || authority.everybody();
    let peer = found(&authority, &trust, everybody()).unwrap();
    let later = now() + 1000;
    let id = |text| Void::Workload(SpiffeId::parse(text).unwrap());
    let key = Void::Authority(peer.authorities()[0]);
    for void in [id(SERVER), key] {
        let without = trust.with_void(&void, later, now()).unwrap();
        assert!(!without.stands(&peer, now()));
        assert!(
            without.stands(&peer, later),
            "all that it is about has ended"
        );
        let refused = found(&authority, &Arc::new(without.clone()), everybody());
        assert_eq!(refused, Err(CertificateError::Revoked), "{void:?}");
        // Taken back.
        let again = without.with_void(&void, 0, now()).unwrap();
        assert!(again.stands(&peer, now()));
        assert!(found(&authority, &Arc::new(again), everybody()).is_ok());
    }
    for other in [id(CLIENT), Void::Authority([7; 32])] {
        let without = trust.with_void(&other, later, now()).unwrap();
        assert!(without.stands(&peer, now()));
        assert!(found(&authority, &Arc::new(without), everybody()).is_ok());
    }
}

#[test]
fn who_signed_between_root_and_leaf_can_be_void_alone() {
    let root = authority();
    let (one, other) = (
        root.intermediate::<Now>().unwrap(),
        root.intermediate::<Now>().unwrap(),
    );
    let trust = root.trust().unwrap();
    let peer = found(&one, &trust, root.everybody()).unwrap();
    let also = found(&other, &trust, root.everybody()).unwrap();
    let ([key, above], [other_key, also_above]) = (peer.authorities(), also.authorities()) else {
        panic!("{peer:?} {also:?}");
    };
    assert!(above == also_above && key != other_key && key != above);
    let without = trust.with_void(&Void::Authority(*key), now() + 9, now());
    let without = Arc::new(without.unwrap());
    assert!(!without.stands(&peer, now()) && without.stands(&also, now()));
    let refused = found(&one, &without, root.everybody());
    assert_eq!(refused, Err(CertificateError::Revoked));
    let again = found(&other, &without, root.everybody()).unwrap();
    assert_eq!(rests(&again), rests(&also));
}

#[test]
fn there_is_room_for_so_many_and_for_what_takes_the_place_of_another() {
    let authority = authority();
    let der = authority.certificate();
    let name = |at: usize| domain(&format!("d{at}.test"));
    let mut trust = Trust::nobody();
    for at in 0..MAX_DOMAINS {
        trust = trust.with_bundle(name(at), [der]).unwrap();
    }
    let full = trust.with_bundle(name(MAX_DOMAINS), [der]);
    assert_eq!(full.unwrap_err(), TlsError::Limit("trust domains"));
    assert!(trust.with_bundle(name(0), [der, der]).is_ok());
    let less = trust.with_bundle(name(0), []).unwrap();
    assert!(less.with_bundle(name(MAX_DOMAINS), [der]).is_ok());

    let void = |at: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&at.to_le_bytes());
        Void::Authority(key)
    };
    for at in 0..MAX_VOID {
        trust = trust.with_void(&void(at), 100, 10).unwrap();
    }
    let full = trust.with_void(&void(MAX_VOID), 100, 10);
    assert_eq!(full.unwrap_err(), TlsError::Limit("revocations"));
    assert!(trust.with_void(&void(0), 200, 10).is_ok());
    // What need not be remembered makes room.
    assert!(trust.with_void(&void(MAX_VOID), 200, 100).is_ok());
}

#[test]
fn a_key_waits_for_its_own_certificate() {
    let authority = authority();
    let id = SpiffeId::parse(CLIENT).unwrap();
    let pending = || Pending::new::<Now>(id.clone()).unwrap();
    let answered = |pending: &Pending, uri: &str| {
        let profile = Profile::Svid([uri].into());
        authority.sign::<Now>(&profile, pending.key()).unwrap()
    };
    let good = pending();
    let svid = answered(&good, CLIENT);
    let identity = good.certified([svid.as_slice(), authority.certificate()]);
    let identity = identity.unwrap();
    assert_eq!(identity.spiffe_id(), &id);
    assert!((now()..now() + 3601).contains(&identity.until()));

    let refused = |answer: &dyn Fn(&Pending) -> Vec<u8>| {
        let pending = pending();
        let svid = answer(&pending);
        pending.certified([svid.as_slice()]).unwrap_err()
    };
    let other = refused(&|pending| answered(pending, SERVER));
    assert_eq!(other, TlsError::Certificate("the SVID is another's"));
    let key = SecretKey::generate::<Now>().unwrap();
    let profile = || Profile::Svid([CLIENT].into());
    let anothers = refused(&|_| authority.sign::<Now>(&profile(), &key).unwrap());
    assert!(matches!(anothers, TlsError::Session(_)), "{anothers}");
    assert_eq!(
        pending().certified([]).unwrap_err(),
        TlsError::Certificate("the SVID has no certificate")
    );
    let text: String = format!("{:?}", pending());
    assert!(text.contains("SecretKey,"), "no key is shown: {text}");
}
