// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that must be answered, and those that must not.

use proptest::prelude::*;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SanType,
    SignatureAlgorithm, SigningKey, string::Ia5String,
};
use tidelock_tls::{SecretKey, SpiffeId};

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
fn the_modules_own_is_taken_and_keys_of_other_kinds_are_not() {
    let key = SecretKey::generate::<Host>().unwrap();
    let own = key.request(&id()).unwrap();
    assert_eq!(*Request::check(&own, &id()).unwrap().spiffe_id(), id());
    Request::check(&made(&plain(), &PKCS_ECDSA_P256_SHA256), &id()).unwrap();
    for kind in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let other = Request::check(&made(&plain(), kind), &id());
        assert_eq!(other.unwrap_err(), RequestError::Key);
    }
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

/// A key that says it is of P-256 and is of Ed25519, by which it signs: the parser looks at the
/// signature's algorithm alone.
#[test]
fn a_key_that_is_not_what_it_says_is_refused() {
    let honest = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let der = plain().serialize_request(&honest).unwrap().der().to_vec();
    // 1.3.101.112 in the key, and P-256 in its place: the lengths of all that is around it change.
    let (ed25519, p256) = (
        [0x30, 5, 6, 3, 0x2b, 0x65, 0x70].as_slice(),
        [
            0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d,
            3, 1, 7,
        ]
        .as_slice(),
    );
    let at = der.windows(7).position(|bytes| bytes == ed25519).unwrap();
    let key = &der[at + 7..at + 7 + 35];
    let spki = tlv(0x30, &[p256, key].concat());
    let information = tlv(
        0x30,
        &[&[2, 1, 0, 0x30, 0], spki.as_slice(), &attributes()].concat(),
    );
    let signature = honest.sign(&information).unwrap();
    let signature = tlv(3, &[&[0], signature.as_slice()].concat());
    let lying = tlv(
        0x30,
        &[information.as_slice(), ed25519, &signature].concat(),
    );
    assert_eq!(
        Request::check(&lying, &id()).unwrap_err(),
        RequestError::Key
    );
}

/// What no parser reads goes to an authority elsewhere all the same: here, a second value of the
/// one attribute.
#[test]
fn what_the_parser_passes_over_is_refused() {
    let key = KeyPair::generate().unwrap();
    let request = |attributes: &[u8]| {
        let spki = key.subject_public_key_info();
        let information = tlv(
            0x30,
            &[&[2, 1, 0, 0x30, 0], spki.as_slice(), attributes].concat(),
        );
        let signature = key.sign(&information).unwrap();
        let signature = tlv(3, &[&[0], signature.as_slice()].concat());
        // ecdsa-with-SHA256
        let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let der = tlv(
            0x30,
            &[information.as_slice(), &algorithm, &signature].concat(),
        );
        Request::check(&der, &id())
    };
    request(&attributes()).unwrap();
    let twice = tlv(0xa0, &attribute(&[extensions(), extensions()].concat()));
    let ca = tlv(
        0x30,
        &tlv(
            0x30,
            &[&[6, 3, 0x55, 0x1d, 0x13, 4, 5, 0x30, 3, 1, 1][..], &[0xff]].concat(),
        ),
    );
    let smuggled = tlv(0xa0, &attribute(&[extensions(), ca].concat()));
    for attributes in [twice, smuggled] {
        let error = request(&attributes).unwrap_err();
        assert!(
            matches!(error, RequestError::More { .. } | RequestError::Encoding),
            "{error}"
        );
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = vec![tag];
    match u8::try_from(len) {
        Ok(len) if len < 0x80 => out.push(len),
        Ok(len) => out.extend([0x81, len]),
        Err(_) => {
            let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
            out.extend([0x82, high, low]);
        }
    }
    out.extend(content);
    out
}

/// The extensions that ask for a SPIFFE ID, by hand.
fn extensions() -> Vec<u8> {
    let names = tlv(0x30, &tlv(0x86, URI.as_bytes()));
    let name = [6, 3, 0x55, 0x1d, 0x11, 1, 1, 0xff];
    tlv(
        0x30,
        &tlv(0x30, &[name.as_slice(), &tlv(4, &names)].concat()),
    )
}

fn attribute(values: &[u8]) -> Vec<u8> {
    let extension_request = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 0x0e];
    tlv(
        0x30,
        &[extension_request.as_slice(), &tlv(0x31, values)].concat(),
    )
}

fn attributes() -> Vec<u8> {
    tlv(0xa0, &attribute(&extensions()))
}

#[test]
fn a_trust_domain_itself_is_nobodys_identity() {
    let id = SpiffeId::parse("spiffe://example.org").unwrap();
    let key = SecretKey::generate::<Host>().unwrap();
    let error = Request::check(&key.request(&id).unwrap(), &id).unwrap_err();
    assert_eq!(error, RequestError::NoWorkload { id });
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
    fn no_bytes_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut der = made(&plain(), &PKCS_ECDSA_P256_SHA256);
        for (place, byte) in changes {
            let place = place.index(der.len());
            der[place] = byte;
        }
        let _ = Request::check(&der, &id());
        let _ = Request::check(&der[..cut.index(der.len())], &id());
    }
}
