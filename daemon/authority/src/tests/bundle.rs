// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SPIFFE bundles, written and read.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW, issue, open};
use crate::{Bundle, BundleError};

fn own() -> Bundle {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    Bundle {
        sequence: Some(7),
        refresh_hint: Some(Duration::from_mins(5)),
        authorities: authority.authorities(),
    }
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
    assert_eq!(
        (&key["kty"], &key["use"], &key["crv"]),
        (&json!("EC"), &json!("x509-svid"), &json!("P-256"))
    );
    assert_eq!(key["x5c"].as_array().unwrap().len(), 1);
    assert!(key.get("kid").is_none(), "it must not be there");
    for coordinate in ["x", "y"] {
        assert_eq!(key[coordinate].as_str().unwrap().len(), 43, "32 bytes");
    }
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
    let root = own().authorities[0].to_vec();
    let longer = [root.as_slice(), b"0"].concat();
    assert!(reason(encoded(&longer)).ends_with("is no certificate in DER"));
    let dir = tempfile::tempdir().unwrap();
    let leaf = issue(&open(dir.path(), NOW).unwrap(), NOW).chain[0].clone();
    assert!(reason(encoded(&leaf)).ends_with("is not a signing certificate"));
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
    let many = vec![
        json!({"kty": "EC", "use": "x509-svid", "x5c": [STANDARD.encode(&own().authorities[0])]});
        65
    ];
    assert!(matches!(
        parse(&json!({"keys": many})),
        Err(BundleError::TooMany { count: 65 })
    ));
    let long = " ".repeat(crate::MAX_BUNDLE + 1);
    assert!(matches!(
        Bundle::parse(long.as_bytes()),
        Err(BundleError::TooLong { .. })
    ));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Bundle::parse(&bytes);
    }
}
