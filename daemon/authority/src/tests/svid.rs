// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is signed, read by others: a parser, and the verifier of the TLS stack in the module.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tidelock_tls::{SecretKey, SpiffeId};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::{Host, NOW, at, domain, id, issue, open, request};
use crate::{
    AuthorityError, Embedded, Request, Svid, SvidError, Trust, Validity,
    profile::{self, Rank, Serial},
};

/// Whether a peer that trusts the root takes it, at a moment, for either side.
fn verifies(authority: &Embedded, svid: &Svid, now: u64) -> Result<(), webpki::Error> {
    let trust = authority.trust();
    let anchors = trust
        .authorities
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<Vec<_>, _>>()?;
    let (leaf, intermediates) = svid.chain.split_first().unwrap();
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        EndEntityCert::try_from(leaf)?.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(now)),
            usage,
            None,
            None,
        )?;
    }
    Ok(())
}

#[test]
fn an_svid_says_what_the_standard_wants_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let svid = issue(&authority, NOW);
    let [leaf, intermediate] = svid.chain.as_slice() else {
        panic!("{} certificates", svid.chain.len());
    };
    let (rest, leaf) = X509Certificate::from_der(leaf).unwrap();
    assert!(rest.is_empty());

    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical, "its subject is empty");
    assert_eq!(leaf.subject().iter_rdn().count(), 0);
    assert_eq!(names.value.general_names, [GeneralName::URI(id().as_str())]);
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature());
    assert_eq!(usage.value.flags, 1, "and nothing else");
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any);
    assert!(!leaf.is_ca());
    assert!(leaf.basic_constraints().unwrap().unwrap().critical);
    assert_eq!(leaf.raw_serial(), svid.serial);
    assert_eq!((svid.serial.len(), svid.serial[0] & 0xc0), (16, 0x40));
    let now = i64::try_from(NOW).unwrap();
    assert_eq!(leaf.validity().not_before.timestamp(), now - 60);
    assert_eq!(leaf.validity().not_after.timestamp(), now + 3600);
    assert_eq!(leaf.extensions().len(), 6, "{:?}", leaf.extensions());

    let (_, intermediate) = X509Certificate::from_der(intermediate).unwrap();
    let constraints = intermediate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = intermediate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
    let names = intermediate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        names.value.general_names,
        [GeneralName::URI("spiffe://example.org")]
    );
}

#[test]
fn peers_that_trust_the_root_take_it_while_it_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let svid = issue(&authority, NOW);
    for now in [NOW - 60, NOW, NOW + 3600] {
        verifies(&authority, &svid, now).unwrap();
    }
    assert!(matches!(
        verifies(&authority, &svid, NOW - 61),
        Err(webpki::Error::CertNotValidYet { .. })
    ));
    assert!(matches!(
        verifies(&authority, &svid, NOW + 3601),
        Err(webpki::Error::CertExpired { .. })
    ));
    // Another authority of the same name is another authority.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = open(elsewhere.path(), NOW).unwrap();
    assert!(verifies(&other, &svid, NOW).is_err());
    // Without its intermediate there is no path, and an intermediate is nobody's peer.
    let (leaf, intermediate) = (svid.chain[0].clone(), svid.chain[1].clone());
    let chained = |chain: Vec<CertificateDer<'static>>| Svid {
        chain,
        ..svid.clone()
    };
    assert!(verifies(&authority, &chained(vec![leaf.clone()]), NOW).is_err());
    assert!(verifies(&authority, &chained(vec![intermediate, leaf]), NOW).is_err());
}

#[test]
fn svids_outlive_the_intermediate_in_use_but_never_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let before = issue(&authority, NOW);
    let old = authority.roll(at(NOW)).unwrap();
    assert_eq!(old, before.chain[1]);
    let after = issue(&authority, NOW);
    assert_ne!(before.chain[1], after.chain[1]);
    assert_ne!(before.serial, after.serial);
    for svid in [&before, &after] {
        verifies(&authority, svid, NOW).unwrap();
    }
}

/// What an authority answered, taken for a request of ours.
fn refused(
    answered: &[CertificateDer<'static>],
    request: &Request,
    authority: &Embedded,
) -> SvidError {
    Svid::take(answered, request, &authority.trust(), at(NOW)).unwrap_err()
}

#[test]
fn an_svid_of_another_key_name_or_time_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let ours = request();
    let sign = |request: &Request| authority.sign(request, at(NOW)).unwrap();
    assert_eq!(
        refused(&sign(&request()), &ours, &authority),
        SvidError::Key
    );
    let key = SecretKey::generate::<Host>().unwrap();
    let named = |text: &str| {
        let id = SpiffeId::parse(text).unwrap();
        Request::check(&key.request(&id).unwrap(), &id).unwrap()
    };
    let (db, web) = (
        named("spiffe://example.org/db"),
        named("spiffe://example.org/web"),
    );
    assert_eq!(
        refused(&sign(&web), &db, &authority).to_string(),
        "it names spiffe://example.org/web, and spiffe://example.org/db was asked for"
    );
    for now in [NOW + 61, NOW - 3600 + 59] {
        // Signed by a clock that is not ours.
        let clock = tempfile::tempdir().unwrap();
        let other = open(clock.path(), now).unwrap();
        let chain = other.sign(&ours, at(now)).unwrap();
        let error = refused(&chain, &ours, &other);
        assert!(
            matches!(error, SvidError::Path { .. } | SvidError::Validity { .. }),
            "{error}"
        );
    }
    let chain = sign(&ours);
    let cut = [CertificateDer::from(chain[0][..100].to_vec())];
    assert_eq!(refused(&cut, &ours, &authority), SvidError::Encoding);
}

#[test]
fn of_what_comes_with_a_leaf_its_path_alone_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let ours = request();
    let chain = authority.sign(&ours, at(NOW)).unwrap();
    let root = authority.trust().authorities.remove(0);
    let (leaf, intermediate) = (&chain[0], &chain[1]);
    authority.roll(at(NOW)).unwrap();
    let newer = authority.sign(&ours, at(NOW)).unwrap().remove(1);
    let taken = |answered: &[&CertificateDer<'static>]| {
        let answered: Vec<_> = answered.iter().map(|one| (*one).clone()).collect();
        Svid::take(&answered, &ours, &authority.trust(), at(NOW)).map(|svid| svid.chain)
    };
    // In any order, with its root, with what is another's, and twice.
    for answered in [
        [leaf, intermediate, &root, &newer],
        [leaf, &newer, &root, intermediate],
        [leaf, intermediate, intermediate, leaf],
    ] {
        assert_eq!(taken(&answered).unwrap(), chain);
    }
    assert!(matches!(
        taken(&[leaf, &newer]),
        Err(SvidError::Path { .. })
    ));
    assert!(matches!(taken(&[]), Err(SvidError::Length { .. })));
    let many = vec![leaf; 18];
    assert!(matches!(taken(&many), Err(SvidError::Length { .. })));
}

#[test]
fn what_is_of_another_trust_domain_is_neither_signed_nor_taken() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let id = SpiffeId::parse("spiffe://example.com/db").unwrap();
    let key = SecretKey::generate::<Host>().unwrap();
    let foreign = Request::check(&key.request(&id).unwrap(), &id).unwrap();
    let error = authority.sign(&foreign, at(NOW)).unwrap_err();
    assert!(matches!(error, AuthorityError::Foreign { .. }), "{error}");
    let chain = authority.sign(&request(), at(NOW)).unwrap();
    assert!(matches!(
        refused(&chain, &foreign, &authority),
        SvidError::Domain { .. }
    ));
}

#[test]
fn what_the_kernel_could_not_verify_is_not_taken() {
    let validity = Validity {
        from: at(NOW - 60),
        to: at(NOW + 3600),
    };
    let serial = || Serial::random().unwrap();
    for (kind, taken) in [
        (&PKCS_ECDSA_P256_SHA256, true),
        (&PKCS_ECDSA_P384_SHA384, false),
        (&PKCS_ED25519, false),
    ] {
        let key = KeyPair::generate_for(kind).unwrap();
        let root = profile::authority(&domain(), Rank::Root, serial(), validity).unwrap();
        let root = root.self_signed(&key).unwrap();
        let issuer = Issuer::from_ca_cert_der(root.der(), &key).unwrap();
        let ours = request();
        let params = profile::svid(&id(), serial(), validity).unwrap();
        let leaf = params.signed_by(ours.key(), &issuer).unwrap();
        let trust = Trust {
            domain: domain(),
            authorities: vec![root.into()],
        };
        let svid = Svid::take(&[leaf.into()], &ours, &trust, at(NOW));
        assert_eq!(svid.is_ok(), taken, "{kind:?}: {svid:?}");
    }
}

/// What becomes of an SVID that was signed with another profile.
fn take_changed(change: impl FnOnce(&mut CertificateParams)) -> Result<Svid, SvidError> {
    let key = KeyPair::generate().unwrap();
    let validity = Validity {
        from: at(NOW - 60),
        to: at(NOW + 3600),
    };
    let serial = || Serial::random().unwrap();
    let root = profile::authority(&domain(), Rank::Root, serial(), validity).unwrap();
    let root = root.self_signed(&key).unwrap();
    let issuer = Issuer::from_ca_cert_der(root.der(), &key).unwrap();
    let ours = request();
    let mut params = profile::svid(&id(), serial(), validity).unwrap();
    change(&mut params);
    let leaf = params.signed_by(ours.key(), &issuer).unwrap();
    let trust = Trust {
        domain: domain(),
        authorities: vec![root.der().clone()],
    };
    Svid::take(&[leaf.into()], &ours, &trust, at(NOW))
}

fn profile_refused(change: impl FnOnce(&mut CertificateParams)) -> &'static str {
    match take_changed(change).unwrap_err() {
        SvidError::Profile { what } => what,
        error => panic!("{error}"),
    }
}

#[test]
fn what_is_no_leaf_by_the_standard_is_not_taken() {
    assert_eq!(take_changed(|_| ()).unwrap().chain.len(), 1);
    assert_eq!(
        profile_refused(|of| of.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        "it is an authority"
    );
    assert_eq!(
        profile_refused(|of| of.key_usages.clear()),
        "it has no key usage"
    );
    let of_digital_signature = vec![3, 2, 7, 0x80];
    assert_eq!(
        profile_refused(|of| {
            of.key_usages.clear();
            let usage = CustomExtension::from_oid_content(&[2, 5, 29, 15], of_digital_signature);
            of.custom_extensions = vec![usage];
        }),
        "its key usage is not critical"
    );
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        assert_eq!(
            profile_refused(|of| of.key_usages.push(usage)),
            "its key usage is not a leaf's"
        );
    }
    assert_eq!(
        profile_refused(|of| of.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
        "its key usage is not a leaf's"
    );
    for removed in 0..2 {
        assert_eq!(
            profile_refused(|of| drop(of.extended_key_usages.remove(removed))),
            "its extended key usage lacks serverAuth or clientAuth"
        );
    }
}

#[test]
fn what_names_nobody_or_two_is_not_taken() {
    let named = |change: fn(&mut CertificateParams)| match take_changed(change).unwrap_err() {
        SvidError::Name { found, .. } => found,
        error => panic!("{error}"),
    };
    assert_eq!(named(|of| of.subject_alt_names.clear()), "nobody");
    assert_eq!(
        named(|of| of.subject_alt_names.push(of.subject_alt_names[0].clone())),
        "spiffe://example.org/db and spiffe://example.org/db"
    );
}

#[test]
fn an_svid_is_valid_while_all_of_its_chain_is_and_not_for_ever() {
    let to = |seconds: u64| {
        take_changed(|of| of.not_after = at(NOW + seconds).into()).map(|svid| svid.validity.to)
    };
    assert_eq!(to(1800).unwrap(), at(NOW + 1800));
    // The root of the test ends in an hour, and does not count: peers do not look at it.
    assert_eq!(to(7200).unwrap(), at(NOW + 7200));
    for seconds in [59, 91 * 24 * 3600] {
        assert!(
            matches!(to(seconds), Err(SvidError::Validity { .. })),
            "{seconds}"
        );
    }
}
