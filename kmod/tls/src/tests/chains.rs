// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What stands between a peer's leaf and an authority of the trust bundle.

use std::{sync::Arc, vec, vec::Vec};

use rustls::{CertificateError, Error};

use super::*;
use crate::{
    Peer, SecretKey, Trust, Void,
    authority::{INTERMEDIATE, Profile},
    selftest::shake_hands,
    verify::svid_of,
    x509::usage,
};

/// The leaf of a server by `authority`, its key, and what is shown with it.
fn shown(authority: &Authority, above: &[&[u8]]) -> Identity {
    let key = SecretKey::generate::<Now>().unwrap();
    let profile = Profile::Svid(vec![SERVER]);
    let leaf = authority.sign::<Now>(&profile, &key).unwrap();
    let chain = [leaf.as_slice()].into_iter().chain(above.iter().copied());
    Identity::new(key, chain).unwrap()
}

/// What a client of `home` finds that trusts by `trust`.
fn found(home: &Authority, trust: &Arc<Trust>, server: &Identity) -> Result<Peer, Error> {
    let client = issue(home, CLIENT);
    let everybody = home.everybody();
    let all = home.trust().unwrap();
    let mut pair = Pair {
        client: connect::<Now>(&client, Arc::clone(trust), everybody.clone()).unwrap(),
        server: accept::<Now>(server, all, everybody).unwrap(),
    };
    match shake_hands(&mut pair) {
        Ok(_) => Ok(pair.client.peer().unwrap().clone()),
        Err(TlsError::Session(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

fn invalid(error: CertificateError) -> Result<Peer, Error> {
    Err(Error::InvalidCertificate(error))
}

#[test]
fn an_intermediate_is_one_for_certificates_and_of_the_same_trust_domain() {
    let root = authority();
    let trust = root.trust().unwrap();
    let by = |usage, uris: &[&str]| {
        let odd = root.odd::<Now>(usage, uris).unwrap();
        found(&root, &trust, &shown(&odd, &[odd.certificate()]))
    };
    let good = usage::KEY_CERT_SIGN;
    for uris in [
        [].as_slice(),
        &["spiffe://example.org"],
        &["https://ca.test"],
    ] {
        let peer = by(good, uris).unwrap();
        assert_eq!(peer.authorities().len(), 2, "{uris:?}");
    }
    let refused = invalid(CertificateError::ApplicationVerificationFailure);
    for (usage, uris) in [
        (usage::DIGITAL_SIGNATURE, [].as_slice()),
        (usage::CRL_SIGN, &[]),
        (good, &["spiffe://example.com"]),
        (good, &["spiffe://example.org/ca"]),
        (good, &["spiffe://example.org/"]),
        (good, &["SPIFFE://example.com"]),
        (good, &["spiffe:"]),
        (good, &["spiffe://example.org", "spiffe://example.com"]),
    ] {
        assert_eq!(by(usage, uris), refused, "{usage:#x} {uris:?}");
    }
}

#[test]
fn a_path_that_may_be_is_found_beside_one_that_is_void() {
    let (old, new) = (authority(), authority());
    let intermediate = old.intermediate::<Now>().unwrap();
    let profile = Profile::Authority(INTERMEDIATE);
    let crossed = new.sign::<Now>(&profile, intermediate.key()).unwrap();
    let by_old = intermediate.certificate();
    let domain = TrustDomain::parse("example.org").unwrap();
    let roots = [old.certificate(), new.certificate()];
    let trust = Trust::nobody().with_bundle(domain.clone(), roots).unwrap();
    let now = Now::unix_time();
    for above in [[by_old, &crossed], [&crossed, by_old]] {
        let server = shown(&intermediate, &above);
        let peer = found(&old, &Arc::new(trust.clone()), &server).unwrap();
        let root = *peer.authorities().last().unwrap();
        let without = trust.with_void(&Void::Authority(root), now + 9, now);
        let without = Arc::new(without.unwrap());
        assert!(!without.stands(&peer, now));
        let other = found(&old, &without, &server).unwrap();
        assert_ne!(other.authorities().last(), Some(&root));
        assert!(without.stands(&other, now));
        // Who signed the leaf is in every path.
        let nearest = Void::Authority(peer.authorities()[0]);
        let none = trust.with_void(&nearest, now + 9, now).unwrap();
        let refused = found(&old, &Arc::new(none), &server);
        assert_eq!(refused, invalid(CertificateError::Revoked));
    }
    // The same key under another name is another authority.
    let same_key = old.sign::<Now>(&Profile::Authority("other"), old.key());
    let renamed = Trust::nobody().with_bundle(domain, [same_key.unwrap().as_slice()]);
    let server = shown(&intermediate, &[by_old]);
    let peer = found(&old, &old.trust().unwrap(), &server).unwrap();
    assert!(!renamed.unwrap().stands(&peer, now));
}

#[test]
fn what_a_peer_shows_is_bounded() {
    let root = authority();
    let trust = root.trust().unwrap();
    let intermediate = root.intermediate::<Now>().unwrap();
    let own = intermediate.certificate();
    assert!(found(&root, &trust, &shown(&intermediate, &[own; 3])).is_ok());
    let many = found(&root, &trust, &shown(&intermediate, &[own; 4]));
    let refused = Err(Error::General(
        "the peer shows too many certificates".into(),
    ));
    assert_eq!(many, refused);
    // One that is as long as all may be: of a name, so that it can be decoded.
    let uri = std::format!("https://{}", "x".repeat(12_300));
    let long = root.odd::<Now>(usage::KEY_CERT_SIGN, &[&uri]).unwrap();
    let long = found(
        &root,
        &trust,
        &shown(&intermediate, &[own, long.certificate()]),
    );
    assert_eq!(long, refused);
}

#[test]
fn a_second_name_that_is_no_text_is_a_second_name() {
    let authority = authority();
    let key = SecretKey::generate::<Now>().unwrap();
    let profile = Profile::Svid(vec![SERVER, "zzzz"]);
    let mut der = authority.sign::<Now>(&profile, &key).unwrap();
    let at = der.windows(4).position(|window| window == b"zzzz").unwrap();
    der[at..at + 4].copy_from_slice(&[0xff; 4]);
    assert!(svid_of(&der.into()).is_err());
    let one: Vec<u8> = authority
        .sign::<Now>(&Profile::Svid(vec![SERVER]), &key)
        .unwrap();
    assert!(svid_of(&one.into()).is_ok());
}
