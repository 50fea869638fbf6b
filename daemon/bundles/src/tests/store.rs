// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bundles that are kept.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519};

use super::{Domain, name};
use crate::{Bundle, Store, StoreError};

#[test]
fn a_bundle_is_kept_by_its_domain_and_replaced_by_newer_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("deep/bundles")).unwrap();
    let (here, there) = (name("example.org"), name(".."));
    let domain = Domain::new("example.org");
    assert_eq!(store.get(&here).unwrap(), None);
    assert!(store.put(&here, &domain.bundle(2)).unwrap());
    assert!(!store.put(&here, &domain.bundle(2)).unwrap(), "the same");
    assert!(store.put(&here, &domain.bundle(3)).unwrap());
    assert_eq!(store.get(&here).unwrap(), Some(domain.bundle(3)));
    // A name that is one of a folder as well.
    assert!(store.put(&there, &domain.bundle(1)).unwrap());
    assert_eq!(store.get(&there).unwrap(), Some(domain.bundle(1)));
    assert_eq!(
        fs::read_dir(dir.path().join("deep/bundles"))
            .unwrap()
            .count(),
        2
    );
    let again = Store::open(&dir.path().join("deep/bundles")).unwrap();
    assert_eq!(again.get(&here).unwrap(), Some(domain.bundle(3)));
}

#[test]
fn an_older_bundle_does_not_replace_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let here = name("example.org");
    let (old, new) = (Domain::new("example.org"), Domain::new("example.org"));
    store.put(&here, &new.bundle(5)).unwrap();
    let error = store.put(&here, &old.bundle(4)).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Older {
                found: 4,
                kept: 5,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(store.get(&here).unwrap(), Some(new.bundle(5)));
    // Who does not count cannot be held to it.
    let mut silent = old.bundle(0);
    silent.sequence = None;
    assert!(store.put(&here, &silent).unwrap());
    assert!(store.put(&here, &old.bundle(1)).unwrap());
}

#[test]
fn a_file_that_was_changed_is_not_taken_for_no_bundle_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let here = name("example.org");
    let domain = Domain::new("example.org");
    store.put(&here, &domain.bundle(1)).unwrap();
    let file = dir.path().join("of-example.org.json");
    let good = fs::read_to_string(&file).unwrap();
    for text in [
        String::new(),
        "{".into(),
        good.clone() + &" ".repeat(crate::MAX_BUNDLE),
        good.replace("example.org", "example.com"),
        good.replace("\"1\"", "\"2\""),
        good.replace("MII", "AAA"),
    ] {
        tidelock_durable::write(&file, text.as_bytes(), 0o644).unwrap();
        let error = store.get(&here).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    assert!(store.put(&here, &domain.bundle(1)).unwrap());
    assert_eq!(store.get(&here).unwrap(), Some(domain.bundle(1)));
}

/// What cannot be written as a JWK, for we know no such keys, is kept all the same.
#[test]
fn authorities_of_any_kind_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let here = name("example.org");
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let bundle = Bundle {
        sequence: None,
        refresh_hint: None,
        authorities: vec![params.self_signed(&key).unwrap().into()],
    };
    assert!(bundle.to_json().is_err());
    assert!(store.put(&here, &bundle).unwrap());
    assert_eq!(store.get(&here).unwrap(), Some(bundle));
}

#[test]
fn the_longest_names_have_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let domain = Domain::new("example.org");
    let long = |end: &str| name(&("a".repeat(254) + end));
    store.put(&long("a"), &domain.bundle(1)).unwrap();
    store.put(&long("b"), &domain.bundle(2)).unwrap();
    assert_eq!(store.get(&long("a")).unwrap(), Some(domain.bundle(1)));
    assert_eq!(store.get(&long("b")).unwrap(), Some(domain.bundle(2)));
}
