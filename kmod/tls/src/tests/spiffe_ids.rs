// SPDX-License-Identifier: GPL-2.0-only OR MIT
use std::{format, string::String};

use proptest::prelude::*;

use crate::{SpiffeId, SpiffeIdError, TrustDomain};

#[test]
fn the_standards_examples() {
    for (text, path) in [
        ("spiffe://example.org", false),
        ("spiffe://staging.example.com/payments/mysql", true),
        ("spiffe://k8s-west.example.com/ns/staging/sa/default", true),
        ("spiffe://10.2.3.4/a_b-C.9", true),
    ] {
        let id = SpiffeId::parse(text).unwrap();
        assert_eq!((id.as_str(), id.has_path()), (text, path));
    }
    for (text, error) in [
        ("", SpiffeIdError::Scheme),
        ("SPIFFE://example.org/x", SpiffeIdError::Scheme),
        ("https://example.org/x", SpiffeIdError::Scheme),
        ("spiffe:///x", SpiffeIdError::Domain),
        ("spiffe://", SpiffeIdError::Domain),
        ("spiffe://Example.org/x", SpiffeIdError::Domain),
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
    ] {
        assert_eq!(SpiffeId::parse(text), Err(error), "{text}");
    }
}

#[test]
fn lengths_are_bounded() {
    let domain = "a".repeat(255);
    assert!(TrustDomain::parse(&domain).is_ok());
    assert_eq!(
        TrustDomain::parse(&format!("{domain}a")),
        Err(SpiffeIdError::TooLong)
    );
    let longest = format!("spiffe://a/{}", "b".repeat(2048 - 11));
    assert!(SpiffeId::parse(&longest).is_ok());
    assert_eq!(
        SpiffeId::parse(&format!("{longest}b")),
        Err(SpiffeIdError::TooLong)
    );
}

proptest! {
    #[test]
    fn any_text_is_taken_whole_or_refused(text in "(spiffe://)?[a-zA-Z./:%_\\-\u{e9}]{0,24}") {
        if let Ok(id) = SpiffeId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!(!text.ends_with('/'));
            let rest: String = text.chars().skip(9).collect();
            let domain = rest.split('/').next().unwrap_or_default();
            prop_assert_eq!(id.trust_domain().as_str(), domain);
        }
    }
}
