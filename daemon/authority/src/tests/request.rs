// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that must be answered, and those that must not.

use proptest::prelude::*;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType, SignatureAlgorithm,
    string::Ia5String,
};
use tidelock_tls::SecretKey;

use super::{Host, id};
use crate::{MAX_REQUEST, Request, RequestError};

const URI: &str = "spiffe://example.org/db";

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

/// What asks for a SPIFFE ID alone.
fn plain() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(URI)];
    params
}

fn made(params: &CertificateParams, kind: &'static SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(kind).unwrap();
    params.serialize_request(&key).unwrap().der().to_vec()
}

fn refused(change: impl FnOnce(&mut CertificateParams)) -> RequestError {
    let mut params = plain();
    change(&mut params);
    Request::check(&made(&params, &PKCS_ECDSA_P256_SHA256), &id()).unwrap_err()
}

fn more(change: impl FnOnce(&mut CertificateParams)) -> &'static str {
    match refused(change) {
        RequestError::More { what } => what,
        error => panic!("{error}"),
    }
}

#[test]
fn the_modules_own_and_both_kinds_of_keys_are_taken() {
    let key = SecretKey::generate::<Host>().unwrap();
    let own = key.request(&id()).unwrap();
    assert_eq!(*Request::check(&own, &id()).unwrap().spiffe_id(), id());
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        Request::check(&made(&plain(), kind), &id()).unwrap();
    }
    let other = made(&plain(), &PKCS_ECDSA_P384_SHA384);
    assert_eq!(
        Request::check(&other, &id()).unwrap_err(),
        RequestError::Key
    );
}

#[test]
fn what_asks_for_more_than_a_spiffe_id_is_refused() {
    assert_eq!(
        more(|params| params.distinguished_name.push(DnType::CommonName, "admin")),
        "a subject"
    );
    assert_eq!(
        more(|params| params.is_ca = IsCa::ExplicitNoCa),
        "several extensions"
    );
    assert_eq!(
        more(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]),
        "several extensions"
    );
    assert_eq!(
        more(|params| {
            params.subject_alt_names = vec![];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
        }),
        "an extension that is no name"
    );
    let dns = Ia5String::try_from("example.org").unwrap();
    assert_eq!(
        more(|params| params.subject_alt_names = vec![SanType::DnsName(dns)]),
        "a name that is no URI"
    );
    // A second attribute: a password that nobody asked for.
    let key = KeyPair::generate().unwrap();
    let password = rcgen::Attribute {
        oid: &[1, 2, 840, 113_549, 1, 9, 7],
        values: vec![0x31, 3, 0x0c, 1, b'x'],
    };
    let csr = plain()
        .serialize_request_with_attributes(&key, vec![password])
        .unwrap();
    assert_eq!(
        Request::check(csr.der(), &id()).unwrap_err(),
        RequestError::More {
            what: "several attributes"
        }
    );
}

#[test]
fn exactly_the_spiffe_id_that_was_decided_is_taken() {
    let names = |names: &[&str]| {
        let names = names.iter().map(|name| uri(name)).collect::<Vec<_>>();
        refused(|params| params.subject_alt_names = names)
    };
    assert_eq!(names(&[]), RequestError::Names { count: 0 });
    assert_eq!(names(&[URI, URI]), RequestError::Names { count: 2 });
    assert!(matches!(
        names(&["https://example.org/db"]),
        RequestError::Id(_)
    ));
    let other = names(&["spiffe://example.org/web"]);
    assert_eq!(
        other.to_string(),
        "the request is for spiffe://example.org/web, and spiffe://example.org/db was decided"
    );
}

#[test]
fn what_is_not_signed_or_not_whole_is_refused() {
    let whole = made(&plain(), &PKCS_ECDSA_P256_SHA256);
    for cut in 0..whole.len() {
        assert_eq!(
            Request::check(&whole[..cut], &id()).unwrap_err(),
            RequestError::Encoding,
            "cut at {cut}"
        );
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert_eq!(
        Request::check(&longer, &id()).unwrap_err(),
        RequestError::Encoding
    );
    // Another's key in the place of the signer's: a proof that does not hold.
    let other = made(&plain(), &PKCS_ECDSA_P256_SHA256);
    let point = |der: &[u8]| {
        let header = [0x03, 0x42, 0x00, 0x04];
        der.windows(4).position(|at| at == header).unwrap() + 4
    };
    let mut stolen = whole.clone();
    let (to, from) = (point(&whole), point(&other));
    stolen[to..to + 64].copy_from_slice(&other[from..from + 64]);
    assert_eq!(
        Request::check(&stolen, &id()).unwrap_err(),
        RequestError::Signature
    );
    let long = vec![0; MAX_REQUEST + 1];
    assert_eq!(
        Request::check(&long, &id()).unwrap_err(),
        RequestError::TooLong { len: long.len() }
    );
}

proptest! {
    /// A change passes only outside of what is signed, where it changes nothing that is used.
    #[test]
    fn no_changed_byte_changes_what_is_read(place in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let mut der = made(&plain(), &PKCS_ECDSA_P256_SHA256);
        let whole = Request::check(&der, &id()).unwrap();
        let place = place.index(der.len());
        der[place] ^= change;
        if let Ok(read) = Request::check(&der, &id()) {
            prop_assert_eq!(read.spiffe_id(), whole.spiffe_id());
            prop_assert_eq!(read.key(), whole.key());
            // The header of the whole, two or three bytes, and then what is signed.
            let signed = 3 + 3 + usize::from(der[5]);
            prop_assert!(place >= signed, "byte {} of {} signed ones", place, signed);
        }
    }

    #[test]
    fn no_bytes_panic(der in prop::collection::vec(any::<u8>(), 0..MAX_REQUEST)) {
        prop_assert!(Request::check(&der, &id()).is_err());
    }
}
