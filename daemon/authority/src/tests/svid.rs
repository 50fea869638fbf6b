// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is signed, read by others: a parser, and the verifier of the TLS stack in the module.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::{NOW, id, issue, open};
use crate::{Embedded, Svid};

/// Whether a peer that trusts the root takes it, at a moment, for either side.
fn verifies(authority: &Embedded, svid: &Svid, now: u64) -> Result<(), webpki::Error> {
    let authorities = authority.authorities();
    let anchors = authorities
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<Vec<_>, _>>()?;
    let [leaf, intermediate] = &svid.chain;
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        EndEntityCert::try_from(leaf)?.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            std::slice::from_ref(intermediate),
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
    let [leaf, intermediate] = &svid.chain;
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
    assert_eq!(leaf.raw_serial(), svid.serial.bytes());
    assert_eq!(
        leaf.raw_serial_as_string().replace(':', ""),
        svid.serial.to_string()
    );
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
    let [leaf, intermediate] = svid.chain.clone();
    let swapped = |chain: [CertificateDer<'static>; 2]| Svid {
        chain,
        ..svid.clone()
    };
    assert!(verifies(&authority, &swapped([leaf.clone(), leaf.clone()]), NOW).is_err());
    assert!(verifies(&authority, &swapped([intermediate, leaf]), NOW).is_err());
}

#[test]
fn svids_outlive_the_intermediate_in_use_but_never_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let before = issue(&authority, NOW);
    let old = authority.roll(super::at(NOW)).unwrap();
    assert_eq!(old, before.chain[1]);
    let after = issue(&authority, NOW);
    assert_ne!(before.chain[1], after.chain[1]);
    assert_ne!(before.serial, after.serial);
    for svid in [&before, &after] {
        verifies(&authority, svid, NOW).unwrap();
    }
}
