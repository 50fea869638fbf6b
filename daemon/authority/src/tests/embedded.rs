// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The authority's folder, through renewals, crashes and hands that should not have touched it.

use std::{
    collections::HashSet,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    thread,
    time::Duration,
};

use rustix::process::geteuid;
use tidelock_tls::TrustDomain;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{NOW, at, domain, issue, open, request};
use crate::{AuthorityError, Embedded, Lifetimes, keyfile::check_access};

const DAY: u64 = 24 * 60 * 60;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_is_begun_once_and_is_the_same_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("deep/authority");
    let authority = open(&folder, NOW).unwrap();
    let (root, svid) = (authority.trust(), issue(&authority, NOW));
    assert_eq!(mode(&folder), 0o700);
    for file in ["root.pem", "intermediate.pem"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    assert!(matches!(
        open(&folder, NOW),
        Err(AuthorityError::Busy { .. })
    ));
    drop(authority);
    let again = open(&folder, NOW + DAY).unwrap();
    assert_eq!(again.trust(), root);
    assert_eq!(issue(&again, NOW + DAY).chain[1], svid.chain[1]);
}

#[test]
fn intermediates_are_replaced_at_half_of_their_life_and_when_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let first = issue(&authority, NOW).chain[1].clone();
    assert!(!authority.renew(at(NOW + 7 * DAY - 60)).unwrap());
    assert!(authority.renew(at(NOW + 7 * DAY)).unwrap());
    let second = issue(&authority, NOW + 7 * DAY).chain[1].clone();
    assert_ne!(first, second);
    // Nobody renewed in time: who asks gets one that lives as long as it should.
    let late = NOW + 21 * DAY - 1800;
    let svid = issue(&authority, late);
    assert_ne!(svid.chain[1], second);
    assert_eq!(svid.validity.to, at(late + 3600));
    // On the disk as well, also when all of it was asleep for a year.
    drop(authority);
    let again = open(dir.path(), late).unwrap();
    assert_eq!(issue(&again, late).chain[1], svid.chain[1]);
    drop(again);
    let much_later = open(dir.path(), late + 365 * DAY).unwrap();
    assert_ne!(issue(&much_later, late + 365 * DAY).chain[1], svid.chain[1]);
}

#[test]
fn nothing_is_signed_by_a_clock_that_cannot_be_right() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let refused = |now| authority.sign(&request(), at(now)).unwrap_err().to_string();
    let early = refused(NOW - DAY);
    assert!(
        early.starts_with("the root") && early.ends_with("set the clock"),
        "{early}"
    );
    assert!(refused(NOW + 3651 * DAY).contains("the trust domain has ended"));
    drop(authority);
    assert!(open(dir.path(), NOW - DAY).is_err());
    open(dir.path(), NOW).unwrap();
}

#[test]
fn a_clock_that_was_ahead_leaves_an_intermediate_of_the_future_which_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), NOW).unwrap());
    let future = open(dir.path(), NOW + 300 * DAY).unwrap();
    assert!(future.renew(at(NOW + 300 * DAY)).unwrap());
    let of_the_future = issue(&future, NOW + 300 * DAY).chain.remove(1);
    // With the next SVID, or before anybody asks for one.
    let signed = issue(&future, NOW + DAY).chain.remove(1);
    assert_ne!(signed, of_the_future);
    assert!(!future.renew(at(NOW + DAY)).unwrap());
    assert!(future.renew(at(NOW + 200 * DAY)).unwrap());
    drop(future);
    let authority = open(dir.path(), NOW + DAY).unwrap();
    assert!(authority.renew(at(NOW + DAY)).unwrap());
    issue(&authority, NOW + DAY);
    // Behind the root's beginning nothing can be signed, and that is told.
    let told = authority.renew(at(NOW - DAY)).unwrap_err().to_string();
    assert!(
        told.starts_with("the root") && told.ends_with("set the clock"),
        "{told}"
    );
}

#[test]
fn an_svid_for_a_minute_is_one_between_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let lifetimes = Lifetimes {
        svid: Duration::from_mins(1),
        ..Lifetimes::default()
    };
    let now = at(NOW) + Duration::from_millis(900);
    let authority = Embedded::open(dir.path(), domain(), lifetimes, now).unwrap();
    let request = request();
    let chain = authority.sign(&request, now).unwrap();
    crate::Svid::take(&chain, &request, &authority.trust(), now).unwrap();
}

#[test]
fn nothing_begins_before_its_time() {
    let dir = tempfile::tempdir().unwrap();
    for now in [0, 30, 1_700_000_000] {
        let error = open(dir.path(), now).unwrap_err();
        assert!(matches!(error, AuthorityError::Clock { .. }), "{error}");
    }
    // And has left nothing that would be in the way when the clock is set.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    issue(&open(dir.path(), NOW).unwrap(), NOW);
}

#[test]
fn in_the_last_hour_of_the_root_nothing_outlives_it_and_nothing_is_made_in_vain() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let end = NOW + 3650 * DAY;
    let svid = issue(&authority, end - 1800);
    let (_, leaf) = X509Certificate::from_der(&svid.chain[0]).unwrap();
    let ends = leaf.validity().not_after.timestamp();
    assert_eq!(ends.cast_unsigned(), end, "the leaf by itself");
    let again = issue(&authority, end - 1700);
    assert_eq!(again.chain[1], svid.chain[1]);
}

#[test]
fn of_many_who_need_a_new_intermediate_one_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path(), NOW).unwrap();
    let late = at(NOW + 14 * DAY);
    let signed = |_| {
        let authority = &authority;
        move || authority.sign(&request(), late).unwrap().remove(1)
    };
    let made: HashSet<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|n| scope.spawn(signed(n))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(made.len(), 1);
}

#[test]
fn a_crash_between_any_two_steps_leaves_an_authority_or_its_old_one() {
    let dir = tempfile::tempdir().unwrap();
    // The root was written, and the intermediate was not.
    let authority = open(dir.path(), NOW).unwrap();
    let root = authority.trust();
    drop(authority);
    fs::remove_file(dir.path().join("intermediate.pem")).unwrap();
    // What may be half of a key does not stay.
    tidelock_durable::write(&dir.path().join(".tmp-half"), b"-----BEGIN PRIV", 0o600).unwrap();
    let again = open(dir.path(), NOW).unwrap();
    assert_eq!(again.trust(), root);
    issue(&again, NOW);
    assert!(!dir.path().join(".tmp-half").exists());
    drop(again);
    // The other way around no crash leaves it: someone has lost the root.
    fs::remove_file(dir.path().join("root.pem")).unwrap();
    assert!(matches!(
        open(dir.path(), NOW),
        Err(AuthorityError::NoRoot { .. })
    ));
}

#[test]
fn files_that_were_changed_are_refused_and_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), NOW).unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    drop(open(elsewhere.path(), NOW).unwrap());
    let root = dir.path().join("root.pem");
    let intermediate = dir.path().join("intermediate.pem");
    let good = fs::read_to_string(&root).unwrap();
    let refused = |path: &Path, text: &str| {
        let before = fs::read(path).unwrap();
        tidelock_durable::write(path, text.as_bytes(), 0o600).unwrap();
        let error = open(dir.path(), NOW).unwrap_err().to_string();
        tidelock_durable::write(path, &before, 0o600).unwrap();
        error
    };
    let (key, certificate) = good.split_once("-----BEGIN CERT").unwrap();
    let certificate = format!("-----BEGIN CERT{certificate}");
    assert!(refused(&root, "").contains("holds no private key"));
    assert!(refused(&root, &certificate).contains("holds no private key"));
    assert!(refused(&root, key).contains("holds not one certificate"));
    assert!(refused(&root, &format!("{good}{certificate}")).contains("not one certificate"));
    assert!(refused(&root, &"x".repeat(20_000)).contains("no file of ours"));
    let of_other = |name: &str| fs::read_to_string(elsewhere.path().join(name)).unwrap();
    let (other_key, _) = of_other("root.pem")
        .split_once("-----BEGIN CERT")
        .map(|(key, rest)| (key.to_owned(), rest.to_owned()))
        .unwrap();
    assert!(refused(&root, &format!("{other_key}{certificate}")).contains("another key"));
    // A whole authority of another.
    let foreign = refused(&intermediate, &of_other("intermediate.pem"));
    assert!(
        foreign.contains("its intermediate was not signed by its root"),
        "{foreign}"
    );
    let swapped = fs::read_to_string(&intermediate).unwrap();
    assert!(refused(&root, &swapped).contains("its root was not signed by its root"));
    // And as it was it is good.
    open(dir.path(), NOW).unwrap();
}

#[test]
fn keys_that_others_may_read_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), NOW).unwrap());
    let root = dir.path().join("root.pem");
    fs::set_permissions(&root, Permissions::from_mode(0o640)).unwrap();
    let error = open(dir.path(), NOW).unwrap_err().to_string();
    assert!(
        error.contains("mode 0640") && error.contains("chmod"),
        "{error}"
    );
    fs::set_permissions(&root, Permissions::from_mode(0o400)).unwrap();
    drop(open(dir.path(), NOW).unwrap());
    // A link may point anywhere.
    fs::rename(&root, dir.path().join("real.pem")).unwrap();
    std::os::unix::fs::symlink("real.pem", &root).unwrap();
    assert!(matches!(
        open(dir.path(), NOW),
        Err(AuthorityError::File { .. })
    ));
    fs::rename(dir.path().join("real.pem"), &root).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(
        open(dir.path(), NOW),
        Err(AuthorityError::Open { .. })
    ));
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), NOW).unwrap());
    // Of root, whom the kernel has given it, and of nobody else here.
    let of_root = fs::metadata("/proc/1").unwrap();
    let own = fs::metadata(dir.path().join("root.pem")).unwrap();
    let path = Path::new("file");
    check_access(path, &own, 0o077).unwrap();
    let foreign = [of_root, own]
        .into_iter()
        .find(|of| of.uid() != geteuid().as_raw());
    if let Some(foreign) = foreign {
        let refused = check_access(path, &foreign, 0);
        assert!(matches!(refused, Err(AuthorityError::Owner { .. })));
    } else {
        // We are root: a file can be given away.
        for given in [dir.path().join("root.pem"), dir.path().to_owned()] {
            chown(&given, Some(1), None).unwrap();
            let error = open(dir.path(), NOW).unwrap_err();
            let owner = matches!(error, AuthorityError::Owner { uid: 1, .. });
            assert!(owner, "{error}");
            chown(&given, Some(0), None).unwrap();
        }
    }
}

#[test]
fn a_folder_is_of_one_trust_domain() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), NOW).unwrap());
    let other = TrustDomain::parse("example.com").unwrap();
    let error = Embedded::open(dir.path(), other, Lifetimes::default(), at(NOW))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("of the trust domain example.org, and example.com is configured"),
        "{error}"
    );
}

#[test]
fn lifetimes_fit_into_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut Lifetimes)| {
        let mut lifetimes = Lifetimes::default();
        change(&mut lifetimes);
        let opened = Embedded::open(dir.path(), domain(), lifetimes, at(NOW));
        opened.unwrap_err().to_string()
    };
    assert!(refused(|of| of.svid = Duration::ZERO).contains("SVIDs"));
    assert!(refused(|of| of.svid = of.intermediate).contains("SVIDs"));
    assert!(refused(|of| of.skew = Duration::MAX).contains("skew"));
    assert!(refused(|of| of.intermediate = of.root).contains("intermediates"));
    assert!(refused(|of| of.root = Duration::MAX).contains("root"));
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is made"
    );
}
