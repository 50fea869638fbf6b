// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What we write of X.509 is what another reader reads, and arbitrary bytes never panic ours.

use core::time::Duration;

use proptest::prelude::*;
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _},
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, name::GeneralName},
};

use crate::x509::{Subject, Template, signed, uri, usage};

/// The key does not matter here; its shape does.
const KEY: [u8; 7] = [0x30, 5, 0x30, 3, 6, 1, 1];

fn template<'a>(uris: &'a [&'a str]) -> Template<'a> {
    Template {
        serial: [0xff; 16],
        validity: [
            Duration::from_secs(1_700_000_000),
            Duration::from_secs(1_700_003_600),
        ],
        issuer: "SPIFFE",
        subject: "",
        authority: false,
        usage: usage::DIGITAL_SIGNATURE,
        uris,
        public_key: p256_key(),
    }
}

fn p256_key() -> &'static [u8] {
    use p256::{ecdsa::SigningKey, pkcs8::EncodePublicKey as _};
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let der = key.verifying_key().to_public_key_der().unwrap();
    alloc::boxed::Box::leak(der.as_bytes().to_vec().into_boxed_slice())
}

#[test]
fn another_reader_finds_what_was_written() {
    let der = signed(
        template(&["spiffe://a.test/b"]).to_be_signed().unwrap(),
        &KEY,
    )
    .unwrap();
    let read = Certificate::from_der(&der).unwrap();
    assert_eq!(
        read.to_der().unwrap(),
        der,
        "another writer writes the same"
    );
    let tbs = read.tbs_certificate();
    assert_eq!(alloc::format!("{}", tbs.issuer()), "O=SPIFFE");
    assert!(tbs.subject().is_empty());
    assert_eq!(
        tbs.validity().not_after.to_unix_duration().as_secs(),
        1_700_003_600
    );
    let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
    assert!(critical && !constraints.ca);
    let (critical, bits) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
    assert!(critical && bits.digital_signature() && !bits.key_cert_sign());
    let (_, usages) = tbs.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
    assert_eq!(usages.0.len(), 2);
    let (critical, names) = tbs.get_extension::<SubjectAltName>().unwrap().unwrap();
    assert!(critical);
    assert!(
        matches!(&names.0[..], [GeneralName::UniformResourceIdentifier(uri)]
        if uri.as_str() == "spiffe://a.test/b")
    );
}

#[test]
fn an_authority_signs_certificates_and_says_so() {
    let authority = Template {
        authority: true,
        subject: "SPIFFE",
        usage: usage::KEY_CERT_SIGN,
        ..template(&[])
    };
    let der = signed(authority.to_be_signed().unwrap(), &KEY).unwrap();
    let read = Certificate::from_der(&der).unwrap();
    assert_eq!(read.to_der().unwrap(), der);
    let tbs = read.tbs_certificate();
    assert!(
        tbs.get_extension::<BasicConstraints>()
            .unwrap()
            .unwrap()
            .1
            .ca
    );
    assert!(
        tbs.get_extension::<KeyUsage>()
            .unwrap()
            .unwrap()
            .1
            .key_cert_sign()
    );
    assert!(tbs.get_extension::<SubjectAltName>().unwrap().is_none());
}

#[test]
fn our_reader_finds_usage_and_uris() {
    let uris = ["spiffe://a.test/b", "spiffe://a.test/c"];
    let both = Template {
        usage: usage::DIGITAL_SIGNATURE | usage::CRL_SIGN,
        ..template(&uris)
    };
    let der = signed(both.to_be_signed().unwrap(), &KEY).unwrap();
    let subject = Subject::of(&der).unwrap();
    assert_eq!(
        subject.usage,
        Some(usage::DIGITAL_SIGNATURE | usage::CRL_SIGN)
    );
    let names = subject.names.unwrap();
    assert_eq!(
        names
            .iter()
            .filter_map(uri)
            .map(Result::unwrap)
            .collect::<alloc::vec::Vec<_>>(),
        uris
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error_or_not_but_never_a_panic(bytes: alloc::vec::Vec<u8>) {
        let _ = Subject::of(&bytes);
    }

    #[test]
    fn one_changed_octet_never_panics(at in 0_usize..400, value: u8) {
        let mut der = signed(template(&["spiffe://a.test/b"]).to_be_signed().unwrap(), &KEY).unwrap();
        let at = at % der.len();
        der[at] = value;
        let _ = Subject::of(&der);
    }
}
