// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was activated stays, whatever comes after it.

use std::{fs, path::Path};

use super::{DENY, bundle, rules};
use crate::{Bundle, PolicyError, Store, StoreError};

/// Policy number `n`.
fn numbered(n: usize) -> Bundle {
    let manifest = format!("{{\"revision\": \"r{n}\"}}");
    Bundle::from_files([(".manifest", manifest.as_str()), ("p.rego", DENY)]).unwrap()
}

fn revision(store: &Store) -> String {
    store.current().unwrap().unwrap().revision().to_owned()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_empty_store_has_no_policy() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("new/folder")).unwrap();
    assert!(store.current().unwrap().is_none());
    assert!(store.history().unwrap().is_empty());
    let error = store.rollback().unwrap_err();
    assert!(
        matches!(error, PolicyError::Store(StoreError::NoPrevious)),
        "{error:?}"
    );
}

#[test]
fn what_was_activated_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let policy = store.activate(&numbered(1)).unwrap();
    drop(store);
    let again = Store::open(dir.path()).unwrap();
    assert_eq!(again.current().unwrap().unwrap().digest(), policy.digest());
}

#[test]
fn what_does_not_load_or_pass_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.activate(&numbered(1)).unwrap();
    let state = fs::read(dir.path().join("state.json")).unwrap();
    for bad in [
        bundle("package tidelock\n"),
        bundle("no rego at all"),
        rules("test_it if false\n"),
        rules("test_it if 1 / 0 == 1\n"),
    ] {
        store.activate(&bad).unwrap_err();
        assert_eq!(revision(&store), "r1");
        assert_eq!(fs::read(dir.path().join("state.json")).unwrap(), state);
        assert_eq!(files(&dir.path().join("bundles")).len(), 1);
    }
    let failed = store.activate(&rules("test_it if false\n")).unwrap_err();
    assert!(
        failed.to_string().contains("data.tidelock.test_it: FAIL"),
        "{failed}"
    );
}

#[test]
fn rollback_goes_back_step_by_step() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in 1..=3 {
        store.activate(&numbered(n)).unwrap();
    }
    assert_eq!(store.rollback().unwrap().revision(), "r2");
    assert_eq!(revision(&store), "r2");
    assert_eq!(store.rollback().unwrap().revision(), "r1");
    store.rollback().unwrap_err();
    assert_eq!(revision(&store), "r1");
    assert_eq!(files(&dir.path().join("bundles")).len(), 1);
}

#[test]
fn the_same_policy_twice_is_one_activation() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in [1, 2, 2, 1] {
        store.activate(&numbered(n)).unwrap();
    }
    let revisions: Vec<String> = store
        .history()
        .unwrap()
        .into_iter()
        .map(|a| a.revision)
        .collect();
    assert_eq!(revisions, ["r1", "r2", "r1"]);
    store.rollback().unwrap();
    assert_eq!(revision(&store), "r2");
}

#[test]
fn old_bundles_go_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in 0..20 {
        store.activate(&numbered(n)).unwrap();
    }
    let history = store.history().unwrap();
    assert_eq!(history.len(), 16);
    assert_eq!(history[0].revision, "r19");
    let mut wanted: Vec<_> = history
        .iter()
        .map(|a| format!("{}.tar.gz", a.digest))
        .collect();
    wanted.sort();
    assert_eq!(files(&dir.path().join("bundles")), wanted);
    assert_eq!(files(dir.path()), ["bundles", "lock", "state.json"]);
}

#[test]
fn what_has_changed_on_disk_is_refused_and_can_be_mended() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.activate(&numbered(1)).unwrap();
    let policy = store.activate(&numbered(2)).unwrap();
    let name = format!("bundles/{}.tar.gz", hex::encode(policy.digest()));
    let path = dir.path().join(name);
    for bytes in [
        numbered(7).to_tar_gz().unwrap(),
        b"no archive".to_vec(),
        Vec::new(),
    ] {
        tidelock_durable::write(&path, &bytes, 0o600).unwrap();
        let error = store.current().unwrap_err();
        assert!(
            matches!(error, PolicyError::Store(StoreError::Changed { .. })),
            "{error:?}"
        );
    }
    store.activate(&numbered(2)).unwrap();
    assert_eq!(revision(&store), "r2");
    fs::remove_file(&path).unwrap();
    store.current().unwrap_err();
    assert_eq!(store.rollback().unwrap().revision(), "r1");
}

#[test]
fn a_state_that_is_not_ours_is_an_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let path = dir.path().join("state.json");
    let digest = "../".repeat(22);
    for text in [
        String::new(),
        "{}".into(),
        r#"{"version": "2", "activations": []}"#.into(),
        format!(
            r#"{{"version": "1", "activations": [{{"digest": "{}", "revision": "", "activated": 0}}]}}"#,
            &digest[..64]
        ),
    ] {
        tidelock_durable::write(&path, text.as_bytes(), 0o600).unwrap();
        let error = store.current().unwrap_err();
        assert!(
            matches!(error, PolicyError::Store(StoreError::State { .. })),
            "{error:?}"
        );
        store.activate(&numbered(1)).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

/// A crash between the two writes leaves a bundle that nobody names, or a temporary.
#[test]
fn what_a_crash_leaves_behind_is_no_policy_and_is_cleaned_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.activate(&numbered(1)).unwrap();
    let orphan = numbered(9);
    let name = format!("bundles/{}.tar.gz", hex::encode(orphan.digest()));
    tidelock_durable::write(&dir.path().join(name), &orphan.to_tar_gz().unwrap(), 0o600).unwrap();
    tidelock_durable::write(&dir.path().join("bundles/.tmp-half"), b"half", 0o600).unwrap();
    assert_eq!(revision(&store), "r1");
    store.activate(&numbered(2)).unwrap();
    assert_eq!(files(&dir.path().join("bundles")).len(), 2);
}

#[test]
fn many_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let threads: Vec<_> = (0..6)
        .map(|n| {
            let path = dir.path().to_owned();
            std::thread::spawn(move || Store::open(path).unwrap().activate(&numbered(n)).map(drop))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.history().unwrap().len(), 6);
    assert!(store.current().unwrap().is_some());
}
