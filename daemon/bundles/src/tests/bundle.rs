// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SPIFFE bundles, written and read.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519,
};
use serde_json::{Value, json};

use super::{Domain, id};
use crate::{Bundle, BundleError, MAX_BUNDLE};

fn own() -> Bundle {
    Domain::new("example.org").bundle(7)
}

fn parse(value: &Value) -> Result<Bundle, BundleError> {
    Bundle::parse(value.to_string().as_bytes())
}

#[test]
fn what_is_written_is_read_and_has_what_the_standard_wants() {
    let bundle = own();
    let text = bundle.to_json().unwrap();
    assert_eq!(Bundle::parse(text.as_bytes()).unwrap(), bundle);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["spiffe_sequence"], 7);
    assert_eq!(value["spiffe_refresh_hint"], 300);
    let key = &value["keys"][0];
    for (field, wanted) in [("kty", "EC"), ("use", "x509-svid"), ("crv", "P-256")] {
        assert_eq!(key[field], wanted);
    }
    assert_eq!(key["x5c"].as_array().unwrap().len(), 1);
    assert!(key.get("kid").is_none(), "it must not be there");
    for coordinate in ["x", "y"] {
        assert_eq!(key[coordinate].as_str().unwrap().len(), 43, "32 bytes");
    }
}

/// Other trust domains have authorities of other kinds, which are kept as ours are.
#[test]
fn authorities_of_other_kinds_are_written_and_read() {
    let made_by_openssl = STANDARD
        .decode(include_str!("rsa.b64").replace('\n', ""))
        .unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let of = |kind| {
        let key = KeyPair::generate_for(kind).unwrap();
        params.self_signed(&key).unwrap().der().clone()
    };
    let bundle = Bundle {
        sequence: None,
        refresh_hint: None,
        authorities: vec![made_by_openssl.into(), of(&PKCS_ECDSA_P384_SHA384)],
    };
    let text = bundle.to_json().unwrap();
    assert_eq!(Bundle::parse(text.as_bytes()).unwrap(), bundle);
    let value: Value = serde_json::from_str(&text).unwrap();
    let [rsa, ec] = value["keys"].as_array().unwrap().as_slice() else {
        panic!("{text}");
    };
    assert_eq!((&rsa["kty"], &rsa["e"]), (&json!("RSA"), &json!("AQAB")));
    assert_eq!(rsa["n"].as_str().unwrap().len(), 342, "256 bytes, no sign");
    assert_eq!((&ec["kty"], &ec["crv"]), (&json!("EC"), &json!("P-384")));
    assert_eq!(ec["y"].as_str().unwrap().len(), 64, "48 bytes");
    let unknown = Bundle {
        authorities: vec![of(&PKCS_ED25519)],
        ..bundle
    };
    let error = unknown.to_json().unwrap_err().to_string();
    assert!(error.contains("neither P-256, P-384 nor RSA"), "{error}");
}

#[test]
fn keys_of_other_uses_are_passed_over_and_an_empty_bundle_trusts_nobody() {
    let der = STANDARD.encode(&own().authorities[0]);
    let read = parse(&json!({"more": [], "keys": [
        {"kty": "EC", "use": "jwt-svid", "kid": "1", "x5c": [der]},
        {"kty": "EC", "x5c": [der]},
        {"kty": "new", "use": "x509-svid", "x5c": [der]},
        {"use": "x509-svid", "x5c": [der]},
        {"kty": "EC", "use": "x509-svid"},
        {"kty": "EC", "use": "x509-svid", "x5c": []},
        {"kty": "EC", "use": "x509-svid", "x5c": [der, "not looked at"], "alg": "ES256"},
    ]}))
    .unwrap();
    assert_eq!(read.authorities.len(), 1);
    assert_eq!((read.sequence, read.refresh_hint), (None, None));
    assert!(parse(&json!({"keys": []})).unwrap().authorities.is_empty());
}

#[test]
fn authorities_that_cannot_be_used_are_named() {
    let reason = |der: String| {
        let key = json!({"kty": "EC", "use": "x509-svid", "x5c": [der]});
        parse(&json!({"keys": [{"kty": "EC"}, key]}))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(reason("*".into()), "keys[1].x5c[0] is no base64");
    let encoded = |der: &[u8]| STANDARD.encode(der);
    assert!(reason(encoded(b"0")).ends_with("is no certificate in DER"));
    let domain = Domain::new("example.org");
    let root = domain.bundle(1).authorities[0].to_vec();
    let longer = [root.as_slice(), b"0"].concat();
    assert!(reason(encoded(&longer)).ends_with("is no certificate in DER"));
    let (chain, _) = domain.svid(&id("spiffe://example.org/db"));
    assert!(reason(encoded(&chain[0])).ends_with("is not a signing certificate"));
}

#[test]
fn what_is_no_bundle_is_refused() {
    for text in ["", "[]", "{}", r#"{"keys": {}}"#, r#"{"keys": [1]}"#] {
        assert!(Bundle::parse(text.as_bytes()).is_err(), "{text}");
    }
    let twice = r#"{"keys": [], "keys": []}"#;
    assert!(Bundle::parse(twice.as_bytes()).is_err(), "which one?");
    for sequence in [json!(-1), json!("1"), json!(1.5)] {
        let refused = parse(&json!({"spiffe_sequence": sequence, "keys": []}));
        assert!(refused.is_err(), "{sequence}");
    }
    let der = STANDARD.encode(&own().authorities[0]);
    let many = vec![json!({"kty": "EC", "use": "x509-svid", "x5c": [der]}); 65];
    assert!(matches!(
        parse(&json!({"keys": many})),
        Err(BundleError::TooMany { count: 65 })
    ));
    let long = " ".repeat(MAX_BUNDLE + 1);
    assert!(matches!(
        Bundle::parse(long.as_bytes()),
        Err(BundleError::TooLong { .. })
    ));
}

#[test]
fn what_is_told_of_a_document_is_one_short_line() {
    let long = format!("{{\"keys\": \"{}\u{1b}[2J\"}}", "A".repeat(100_000));
    let told = Bundle::parse(long.as_bytes()).unwrap_err().to_string();
    assert!(told.len() < 500 && !told.contains('\u{1b}'), "{told}");
}

proptest! {
    #[test]
    fn no_certificate_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut der = STANDARD.decode(include_str!("rsa.b64").replace('\n', "")).unwrap();
        for (place, byte) in changes {
            let place = place.index(der.len());
            der[place] = byte;
        }
        let key = json!({"kty": "RSA", "use": "x509-svid", "x5c": [STANDARD.encode(der)]});
        if let Ok(bundle) = parse(&json!({"keys": [key]})) {
            let _ = bundle.to_json();
        }
    }
}
