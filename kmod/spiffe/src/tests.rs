// SPDX-License-Identifier: GPL-2.0-only OR MIT
use std::{format, string::String, vec::Vec};

use proptest::{collection::vec, prelude::*};

use super::*;

fn id(text: &str) -> Result<SpiffeIdRef<'_>, SpiffeIdError> {
    SpiffeIdRef::parse(text.as_bytes())
}

#[test]
fn the_standards_examples() {
    for (text, domain, path) in [
        ("spiffe://example.org", "example.org", false),
        (
            "spiffe://staging.example.com/payments/mysql",
            "staging.example.com",
            true,
        ),
        (
            "spiffe://k8s-west.example.com/ns/staging/sa/default",
            "k8s-west.example.com",
            true,
        ),
        ("spiffe://10.2.3.4/a_b-C.9", "10.2.3.4", true),
    ] {
        let found = id(text).unwrap();
        assert_eq!((found.as_str(), found.has_path()), (text, path));
        assert_eq!(found.trust_domain().as_str(), domain);
        assert_eq!(format!("{found}"), text);
        let workload = SpiffeIdRef::workload(text.as_bytes());
        let expected = if path {
            Ok(found)
        } else {
            Err(SpiffeIdError::NoWorkload)
        };
        assert_eq!(workload, expected, "{text}");
    }
}

#[test]
fn what_is_none_says_why() {
    for (text, error) in [
        ("", SpiffeIdError::Scheme),
        ("SPIFFE://example.org/x", SpiffeIdError::Scheme),
        ("https://example.org/x", SpiffeIdError::Scheme),
        ("spiffe:///x", SpiffeIdError::Domain),
        ("spiffe://", SpiffeIdError::Domain),
        ("spiffe://Example.org/x", SpiffeIdError::Domain),
        ("spiffe://ex\u{e4}mple.org/x", SpiffeIdError::Domain),
        ("spiffe://user@example.org/x", SpiffeIdError::Domain),
        ("spiffe://example.org:443/x", SpiffeIdError::Domain),
        ("spiffe://example.org/", SpiffeIdError::Path),
        ("spiffe://example.org/a/", SpiffeIdError::Path),
        ("spiffe://example.org/a//b", SpiffeIdError::Path),
        ("spiffe://example.org/a/../b", SpiffeIdError::Path),
        ("spiffe://example.org/.", SpiffeIdError::Path),
        ("spiffe://example.org/a?b", SpiffeIdError::Path),
        ("spiffe://example.org/a#b", SpiffeIdError::Path),
        ("spiffe://example.org/%61", SpiffeIdError::Path),
        ("spiffe://example.org/\u{e4}", SpiffeIdError::Path),
    ] {
        assert_eq!(id(text), Err(error), "{text}");
    }
    let cut = b"spiffe://example.org/\xc3";
    assert_eq!(SpiffeIdRef::parse(cut), Err(SpiffeIdError::Path));
}

#[test]
fn lengths_are_bounded() {
    let domain = "a".repeat(MAX_DOMAIN);
    assert!(TrustDomainRef::parse(domain.as_bytes()).is_ok());
    let longer = format!("{domain}a");
    let refused = TrustDomainRef::parse(longer.as_bytes());
    assert_eq!(refused, Err(SpiffeIdError::TooLong));
    let longest = format!("spiffe://a/{}", "b".repeat(MAX_ID - 11));
    assert!(id(&longest).is_ok());
    assert_eq!(id(&format!("{longest}b")), Err(SpiffeIdError::TooLong));
}

proptest! {
    #[test]
    fn any_text_is_taken_whole_or_refused(text in "(spiffe://)?[a-zA-Z./:%_\\-\u{e9}]{0,24}") {
        if let Ok(id) = id(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!(!text.ends_with('/'));
            let rest: String = text.chars().skip(9).collect();
            let domain = rest.split('/').next().unwrap_or_default();
            prop_assert_eq!(id.trust_domain().as_str(), domain);
            prop_assert_eq!(id.has_path(), rest.len() > domain.len());
        }
    }

    #[test]
    fn no_bytes_are_taken_that_are_no_text(bytes in vec(any::<u8>(), 0..8)) {
        let text: Vec<u8> = [b"spiffe://a/".as_slice(), &bytes].concat();
        if let Ok(id) = SpiffeIdRef::parse(&text) {
            prop_assert_eq!(id.as_str().as_bytes(), &text);
            prop_assert!(text.is_ascii());
        }
    }
}
