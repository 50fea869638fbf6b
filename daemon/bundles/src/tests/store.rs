// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bundles that are kept.

use std::fs;

use super::{Domain, name};
use crate::{Store, StoreError};

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
fn a_file_that_was_changed_is_not_taken_for_no_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let here = name("example.org");
    store
        .put(&here, &Domain::new("example.org").bundle(1))
        .unwrap();
    let file = dir.path().join("of-example.org.json");
    for text in [String::new(), "{".into(), " ".repeat(crate::MAX_BUNDLE + 1)] {
        tidelock_durable::write(&file, text.as_bytes(), 0o644).unwrap();
        assert!(matches!(store.get(&here), Err(StoreError::Damaged { .. })));
    }
}
